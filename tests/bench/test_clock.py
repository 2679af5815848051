"""The clock, tried on a machine whose time is simulated: nothing here depends on how fast the tests
run.
"""

import random
import statistics

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tresnet_lite.bench import Timing, TimingError, measure, measure_many
from tresnet_lite.bench.clock import Clock, device_clock


class Machine:
    """A host that queues work on a device, as a program queues kernels on a GPU."""

    def __init__(self, launch: float = 1e-5) -> None:
        self.time, self.busy_until, self.launch = 0.0, 0.0, launch

    def queue(self, seconds: float) -> None:
        self.time += self.launch  # the host goes on after the launch, the device works
        self.busy_until = max(self.busy_until, self.time) + seconds

    def wait(self) -> None:
        self.time = max(self.time, self.busy_until)

    def clock(self) -> Clock:
        return Clock(synchronize=self.wait, settle=self.wait, now=lambda: self.time)


def test_a_synchronised_timing_is_the_cost_of_the_work():
    machine = Machine()
    timing = measure(lambda: machine.queue(3e-4), clock=machine.clock())
    # The device waits for one launch in a block of at least 10 ms: 10 µs, a thousandth.
    assert timing.seconds.median == pytest.approx(3e-4, rel=1e-3)
    assert statistics.median(timing.blocks) >= 0.01
    assert timing.steady


def test_an_unsynchronised_timing_is_refused():
    machine = Machine()
    # reads the clock without waiting
    forgetful = Clock(settle=machine.wait, now=lambda: machine.time)
    with pytest.raises(TimingError, match="unsynchronised"):
        measure(lambda: machine.queue(3e-4), clock=forgetful)


def test_work_on_another_device_than_the_one_measured_is_refused():
    named, other = Machine(), Machine()

    def settle() -> None:
        other.wait()
        named.time = max(named.time, other.time)

    def work() -> None:
        other.time = named.time  # one host, two devices
        other.queue(3e-4)
        named.time = other.time

    clock = Clock(synchronize=named.wait, settle=settle, now=lambda: named.time)
    with pytest.raises(TimingError, match="on the device that is measured"):
        measure(work, clock=clock)


@pytest.mark.parametrize("held_up", [1, 2], ids=["the first block", "the second"])
def test_a_block_held_up_past_the_time_limit_is_not_taken_for_its_length(held_up):
    """Work of 0.1 ms, one call of which takes half a second: the blocks are of the length asked for
    all the same.
    """
    machine, calls = Machine(), []

    def work() -> None:
        calls.append(1)
        machine.queue(0.5 if len(calls) == 1 + held_up else 1e-4)

    timing = measure(work, clock=machine.clock(), min_block=0.01, max_seconds=0.01)
    assert timing.calls >= 10 and statistics.median(timing.blocks) >= 0.01


def test_blocks_that_become_too_short_are_refused():
    machine, calls = Machine(launch=0.0), []

    def soon_cached() -> None:
        calls.append(None)
        machine.queue(4e-3 if len(calls) < 20 else 1e-5 if len(calls) < 5500 else 1e-9)

    # Four calls fill a block while it warms up, then thousands in a second warm-up; then the answer
    # is cached and a block holds next to nothing.
    with pytest.raises(TimingError, match="too short"):
        measure(soon_cached, clock=machine.clock(), max_seconds=0.1)


@pytest.mark.parametrize(
    ("blocks", "reason"),
    [((1e-4,) * 5, "too short"), ((1.0, 1.0), "at least 3"), ((), "at least 3")],
)
def test_a_timing_that_would_mislead_cannot_be_made(blocks, reason):
    with pytest.raises(TimingError, match=reason):
        Timing(blocks, calls=7)


def test_a_function_that_does_nothing_is_refused():
    with pytest.raises(TimingError, match="any work"):
        measure(lambda: None, clock=Clock(now=lambda: 0.0))


def test_functions_take_turns_in_random_order():
    machine, log = Machine(launch=0.0), []

    def work(name: str):
        def fn() -> None:
            log.append(name)
            machine.queue(0.02)  # one call fills a block

        return fn

    def rounds(seed: int) -> list[tuple[str, ...]]:
        log.clear()
        options = {"noise": 1.0, "min_repeats": 20, "seed": seed}
        timings = measure_many({n: work(n) for n in "abc"}, clock=machine.clock(), **options)
        assert timings["a"].seconds.repeats == 20
        names = log[-3 * 20 :]
        return [tuple(names[i : i + 3]) for i in range(0, len(names), 3)]

    first = rounds(seed=1)
    assert all(sorted(turn) == ["a", "b", "c"] for turn in first)
    assert len(set(first)) > 1
    assert rounds(seed=1) == first
    assert rounds(seed=2) != first


def test_a_drifting_machine_favours_nobody():
    machine = Machine(launch=0.0)

    def work() -> None:
        machine.queue(0.02 * (1 + machine.time / 10))  # the machine slows down, by 10 % a second

    options = {"clock": machine.clock(), "noise": 0.0, "min_repeats": 20, "max_seconds": 2.0}
    together = measure_many({"a": work, "b": work}, **options)
    assert together["a"].seconds.median == pytest.approx(together["b"].seconds.median, rel=0.02)
    one, two = measure(work, **options), measure(work, **options)
    assert two.seconds.median > 1.1 * one.seconds.median  # one after the other, the second loses


def test_the_rounds_stop_when_the_medians_are_known_or_the_time_is_up():
    machine, chance = Machine(launch=0.0), random.Random(0)
    quiet = measure(lambda: machine.queue(0.02), clock=machine.clock(), min_repeats=7)
    assert quiet.seconds.repeats == 7 and quiet.noise < 1e-9
    start = machine.time
    noisy = measure(
        lambda: machine.queue(chance.uniform(0.01, 0.03)), clock=machine.clock(), noise=1e-4
    )
    assert noisy.noise > 1e-4 and not noisy.steady
    # two seconds to warm up, two to measure, a block each
    assert machine.time - start <= 2 * (2.0 + 0.03) + 0.03


@given(
    st.lists(st.floats(2e-3, 1e3), min_size=3, max_size=40), st.integers(1, 50), st.integers(1, 512)
)
def test_spreads_are_the_quartiles_of_the_blocks(blocks, calls, items):
    timing = Timing(tuple(blocks), calls)
    s, r = timing.seconds, timing.rate(items)
    quartiles = torch.tensor(blocks, dtype=torch.float64).quantile(
        torch.tensor([0.25, 0.5, 0.75]).double()
    )
    assert (s.q1, s.median, s.q3) == pytest.approx((quartiles / calls).tolist(), rel=1e-12)
    assert (r.q1, r.median, r.q3) == pytest.approx(
        (items / s.q3, items / s.median, items / s.q1), rel=1e-12
    )
    assert s.repeats == r.repeats == len(blocks)


def test_real_work_on_the_cpu_is_timed():
    x = torch.rand(64, 64)
    timing = measure(lambda: x @ x, min_block=1e-2, max_seconds=0.05)
    assert timing.seconds.repeats >= 5 and 0 < timing.seconds.q1 <= timing.seconds.q3


@pytest.mark.parametrize("options", [{"min_repeats": 2}, {"min_block": 1e-5}])
def test_options_that_would_mislead_are_refused(options):
    with pytest.raises(ValueError, match="min_repeats ≥ 3 and min_block ≥ 0.001"):
        measure(lambda: None, **options)


def test_cudnn_tries_its_algorithms_while_functions_are_timed():
    """And is on; afterwards it guesses as it did before, even if a function failed."""
    machine, seen = Machine(), set()

    def work() -> None:
        seen.add((torch.backends.cudnn.enabled, torch.backends.cudnn.benchmark))
        machine.queue(3e-4)

    measure(work, clock=machine.clock())
    with pytest.raises(ZeroDivisionError):
        measure(lambda: 1 / 0, clock=machine.clock())
    assert seen == {(True, True)} and not torch.backends.cudnn.benchmark


def test_a_device_without_a_clock_is_named():
    with pytest.raises(ValueError, match="no clock for device 'meta'"):
        device_clock("meta")

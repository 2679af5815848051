"""How long a call takes on a device: warm until steady, synchronised blocks, median and quartiles.

A block is a run of calls long enough that reading the clock costs nothing beside it. Functions that
are to be compared are measured together: every round runs one block of each, in random order, so
that a drift of the machine (heat, clocks, neighbours) falls on all of them alike.
"""

from __future__ import annotations

import random
import statistics
import time
import timeit
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch

from tresnet_lite.bench.suites import Point
from tresnet_lite.profiles import Profile
from tresnet_lite.records import Spread
from tresnet_lite.records.records import MIN_REPEATS

SHORTEST_BLOCK = 1e-3  # seconds; below it, reading a synchronised clock (tens of µs) costs over 1 %
STEADY = 0.05  # warm when three blocks in a row lie within 5 %
LATE = 0.05  # a device still busy for 5 % of a block after the clock stopped was not waited for


class TimingError(RuntimeError):
    """The timing would mislead: too short, too few blocks, or stopped while the device worked."""


@dataclass(frozen=True)
class Timing:
    """Blocks of `calls` calls each, and how many seconds each block lasted.

    Raises:
        TimingError: fewer than three blocks, or blocks shorter than a millisecond.
    """

    blocks: tuple[float, ...]
    calls: int
    steady: bool = True  # did the warm-up reach a steady pace?

    def __post_init__(self) -> None:
        if len(self.blocks) < MIN_REPEATS:
            count = len(self.blocks)
            raise TimingError(f"{count} block(s) timed: quartiles need at least {MIN_REPEATS}")
        block = statistics.median(self.blocks)
        if block < SHORTEST_BLOCK:
            blocks = f"blocks of {self.calls} call(s) last {block:.2g} s"
            raise TimingError(f"too short to time: {blocks}, and must last {SHORTEST_BLOCK:g} s")

    @property
    def seconds(self) -> Spread:
        """Seconds per call."""
        return Spread.over(block / self.calls for block in self.blocks)

    def rate(self, items: int) -> Spread:
        """Items per second, for a call that handles `items` of them (a batch of images, say)."""
        s = self.seconds
        # slowest quartile, lowest rate
        return Spread(items / s.median, items / s.q3, items / s.q1, s.repeats)

    @property
    def noise(self) -> float:
        """Interquartile range over median, divided by √repeats: roughly how well it is known."""
        s = self.seconds
        return (s.q3 - s.q1) / s.median / s.repeats**0.5


def _nothing() -> None:
    """A CPU has no queue to wait for."""


@dataclass(frozen=True)
class Clock:
    """A device's stopwatch.

    `synchronize` waits for the work queued on the device that is measured, `settle` for that of
    every device, so that work which ran elsewhere than on the device named is noticed.
    """

    synchronize: Callable[[], None] = _nothing
    settle: Callable[[], None] = _nothing
    now: Callable[[], float] = time.perf_counter

    def block(self, fn: Callable[[], object], calls: int) -> tuple[float, float]:
        """Seconds that `calls` calls took, and seconds that a device was busy afterwards."""
        # timeit keeps the garbage collector out
        seconds = timeit.Timer(fn, timer=self._read).timeit(calls)
        stopped = self.now()
        self.settle()
        return seconds, self.now() - stopped

    def _read(self) -> float:
        self.synchronize()
        return self.now()


def device_clock(device: str | torch.device) -> Clock:
    """The clock of a device: plain for a CPU, synchronised for an accelerator."""
    device = torch.device(device)
    if device.type == "cpu":
        return Clock()
    if device.type != "cuda":
        raise ValueError(f"no clock for device {str(device)!r}: give 'cpu' or 'cuda[:n]'")
    return Clock(synchronize=lambda: torch.cuda.synchronize(device), settle=_settle_cuda)


@contextmanager
def cudnn_benchmark(on: bool) -> Iterator[None]:
    """While this lasts cuDNN times its algorithms on each new shape, or guesses the fastest.

    `torch.backends.cudnn.flags` is no substitute: it also sets what it is not given, and without
    `enabled=True` it switches cuDNN off.
    """
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = on
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before


def _settle_cuda() -> None:
    for index in range(torch.cuda.device_count()):
        # nothing runs where nothing lies, and waiting would claim the device
        if torch.cuda.memory_reserved(index):
            torch.cuda.synchronize(index)


@dataclass
class _Run:
    """One function on its way to a Timing."""

    fn: Callable[[], object]
    clock: Clock
    calls: int = 1
    steady: bool = False
    blocks: list[float] = field(default_factory=list)
    late: list[float] = field(default_factory=list)
    warmed_again: bool = False

    def warm_up(self, min_block: float, max_seconds: float) -> None:
        """Grow the block to `min_block`, then go on until the pace is steady or time is up.

        The fastest pace so far decides: a block that another program held up is no longer than it
        was.
        """
        recent: list[float] = []
        fastest = float("inf")  # seconds per call
        self.clock.block(self.fn, 1)  # may compile, allocate or load: it counts for nothing
        deadline = self.clock.now() + max_seconds
        while not self.steady:
            seconds, _ = self.clock.block(self.fn, self.calls)
            fastest = min(fastest, seconds / self.calls)
            if fastest * self.calls < min_block:
                self._grow(min_block, fastest * self.calls)
                recent.clear()
                continue
            recent = [*recent[-2:], seconds]
            self.steady = len(recent) == 3 and max(recent) <= (1 + STEADY) * min(recent)
            if self.clock.now() > deadline:
                return

    def _grow(self, min_block: float, seconds: float) -> None:
        factor = 1.2 * min_block / seconds if seconds > 0 else 10.0
        self.calls = int(self.calls * min(factor, 10.0)) + 1
        if self.calls > 10**7:
            raise TimingError("ten million calls fill no block: does the function do any work?")

    def repeat(self, min_block: float, max_seconds: float) -> None:
        """Time one block; once, warm up again where it shows that the warm-up was held up."""
        seconds, late = self.clock.block(self.fn, self.calls)
        self.blocks.append(seconds)
        self.late.append(late)
        if seconds < SHORTEST_BLOCK and not self.warmed_again:
            self.warmed_again, self.steady = True, False
            self.blocks.clear()
            self.late.clear()
            self.warm_up(min_block, max_seconds)

    def timing(self) -> Timing:
        timing = Timing(tuple(self.blocks), self.calls, self.steady)
        # Medians: the operating system may take the processor away between any two readings.
        late, block = statistics.median(self.late), statistics.median(self.blocks)
        if late > LATE * block:
            busy = f"a device was still busy for {late:.2g} s after a block of {block:.2g} s"
            why = "Does the function run on the device that is measured?"
            raise TimingError(f"unsynchronised: {busy}. {why}")
        return timing


def measure_many(
    functions: Mapping[str, Callable[[], object]],
    *,
    device: str | torch.device = "cpu",
    min_block: float = 0.01,
    min_repeats: int = 5,
    max_seconds: float = 2.0,
    noise: float = 0.01,
    seed: int = 0,
    clock: Clock | None = None,
) -> dict[str, Timing]:
    """Time several functions together: in every round one block of each, in random order.

    On a GPU with cuDNN's benchmark, in a chapter as in a campaign: shapes do not change meanwhile.

    Args:
        functions: name → function without arguments; each call is timed as a whole.
        device: where the functions run; an accelerator is synchronised before the clock is read.
        min_block: seconds that one block of calls lasts at least.
        min_repeats: rounds to run at least (3 or more).
        max_seconds: per function, without warm-up; then the rounds stop even if they are noisy.
        noise: stop early once every median is known to this share (see `Timing.noise`).
        seed: of the random order.
        clock: another clock than the device's (tests use a virtual one).

    Raises:
        TimingError: the result would mislead; the message says why.
    """
    if min_repeats < MIN_REPEATS or min_block < SHORTEST_BLOCK:
        raise ValueError(f"give min_repeats ≥ {MIN_REPEATS} and min_block ≥ {SHORTEST_BLOCK:g} s")
    clock = clock or device_clock(device)
    runs = {name: _Run(fn, clock) for name, fn in functions.items()}
    with cudnn_benchmark(True):
        for run in runs.values():
            run.warm_up(min_block, max_seconds)
        order, shuffle = list(runs.values()), random.Random(seed).shuffle
        deadline = clock.now() + max_seconds * len(order)
        while True:
            shuffle(order)
            for run in order:
                run.repeat(min_block, max_seconds)
            if min(len(run.blocks) for run in order) < min_repeats:
                continue
            if clock.now() > deadline or all(run.timing().noise <= noise for run in order):
                return {name: run.timing() for name, run in runs.items()}


def clock_options(settings: Profile | Point) -> dict[str, object]:
    """The options of `measure_many` as a profile, or a point of a campaign, sets them."""
    return {
        "device": settings.device,
        "min_block": settings.min_block,
        "min_repeats": settings.repeats,
        "max_seconds": settings.max_seconds,
    }


def measure(fn: Callable[[], object], **options) -> Timing:
    """Time one function; the options are `measure_many`'s.

    >>> timing = measure(lambda: model(images), device="cuda")
    >>> timing.seconds.median, timing.rate(len(images)).median  # s per call, images per s
    """
    return measure_many({"it": fn}, **options)["it"]

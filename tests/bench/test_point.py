"""A point's process measures what it is told to, tells failures as results, and ends with its
campaign.
"""

import itertools
import json
import platform
import subprocess
import sys
from dataclasses import asdict
from types import SimpleNamespace

import pytest
import torch

from tresnet_lite import create_model
from tresnet_lite.bench import roofline, steps
from tresnet_lite.bench.memory import TrainingMemory, counted_memory
from tresnet_lite.bench.point import Bench, run
from tresnet_lite.bench.suites import Point
from tresnet_lite.counting.kept import kept_for_backward
from tresnet_lite.records import Failure, Record, collect
from tresnet_lite.records.provenance import RUN
from tresnet_lite.records.records import from_json

QUICK = {"repeats": 3, "min_block": 0.005, "max_seconds": 0.01}


def point(**changes) -> Point:
    settings = {
        "case": "networks",
        "model": "tresnet_m",
        "device": "cpu",
        "resolution": 32,
        "batch": 2,
    } | QUICK
    return Point(**{"suites": ("table3", "figure4", "figure5")} | settings | changes)


def test_both_phases_are_measured_once_and_filed_where_they_are_shown():
    p = point(largest=True, memory_budget=2**30)
    records = list(run(p, command="measure this"))
    assert all(
        isinstance(r, Record) and r.point == p.id and r.provenance.command == "measure this"
        for r in records
    )
    assert {r.provenance.memory_held for r in records} == {platform.libc_ver()[0] == "glibc"}
    filed = {(r.suite, r.phase, r.metric) for r in records}
    training = {
        (s, "training", m)
        for s in ("table3", "figure5")
        for m in ("throughput", "largest_batch", "peak_memory")
    }
    assert filed == training | {(s, "inference", "throughput") for s in ("table3", "figure4")}
    values = {(r.phase, r.metric): r.value for r in records}
    # one measurement, whatever the suite
    assert len({(*key, value) for key, value in values.items()}) == 4
    c = next(r.conditions for r in records if r.metric == "throughput")
    assert (c.batch, c.resolution, c.norm, c.memory, c.compile) == (
        2,
        32,
        "native",
        "lean",
        "eager",
    )
    assert c.memory_budget is None  # the batch was not its doing


def test_on_a_cpu_the_largest_batch_is_counted_and_says_so():
    p = point(largest=True, memory_budget=2**30, phases=())
    (largest,) = [r for r in run(p) if (r.suite, r.metric) == ("table3", "largest_batch")]
    base, per_image = counted_memory(p)
    n = largest.value.median
    assert base + n * per_image <= 2**30 < base + (n + 1) * per_image
    assert (
        largest.counted
        and largest.case == "networks"
        and largest.conditions.memory_budget == 2**30
        and largest.conditions.batch == n
    )
    assert not any(r.counted for r in run(p) if r.metric == "peak_memory")


def test_what_is_counted_is_what_a_real_training_step_keeps():
    base, per_image = counted_memory(point(norm="bn", memory="paper"))
    network = create_model("tresnet_m", norm="bn", memory="paper").train()
    kept = [
        sum(k.bytes for k in kept_for_backward(network, torch.rand(b, 3, 32, 32))) for b in (2, 3)
    ]
    assert per_image == kept[1] - kept[0]
    floats = sum(p.numel() for p in network.parameters()), sum(b.numel() for b in network.buffers())
    assert base == 4 * (2 * floats[0] + floats[1])


def test_the_peak_counts_weights_momentum_and_gradients_once_each():
    p = point(largest=True, memory_budget=2**30, phases=())
    (peak,) = [r for r in run(p) if (r.suite, r.metric) == ("table3", "peak_memory")]
    weights = sum(p.nbytes for p in create_model("tresnet_m").parameters())
    # two images of 32 px are nothing beside them
    assert 3 * weights <= peak.value.median <= 3.1 * weights


class Card(TrainingMemory):
    """A GPU of `size` bytes in place of the machine's: training takes `base` and `per_image`."""

    def __init__(self, monkeypatch, bench: Bench, size: int, base: int, per_image: int) -> None:
        super().__init__(bench.network, bench.images, bench.point.dtype)
        self.size, self.base, self.per_image, self.tried = size, base, per_image, []
        self.cudnn = set()  # on, and trying its algorithms
        counted = (0.8 * base, 0.7 * per_image)
        monkeypatch.setattr("tresnet_lite.bench.point.counted_memory", lambda point: counted)
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (size, size))
        monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 0)

    def peak(self, batch: int) -> int:
        return self.base + batch * self.per_image

    def train(self, batch: int, steps: int) -> None:
        self.tried.append((batch, steps))
        self.cudnn.add((torch.backends.cudnn.enabled, torch.backends.cudnn.benchmark))
        if self.peak(batch) > self.size:
            raise torch.OutOfMemoryError("CUDA out of memory")


@pytest.mark.parametrize("fitting", [1, 2, 9, 288, 3000])
def test_a_gpus_largest_batch_is_found_in_few_steps_and_confirmed(monkeypatch, fitting):
    bench = Bench(point(batch=None, largest=True))
    card = Card(monkeypatch, bench, 10**9 + 10**8 * fitting + 1, 10**9, 10**8)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    lines = bench.largest_by_trying(card)
    (largest,) = [r.value for r in lines if (r.suite, r.metric) == ("table3", "largest_batch")]
    assert largest.median <= fitting <= largest.q3 and largest.q3 - largest.median <= 0.01 * fitting
    assert bench.batch == max(1, int(0.9 * largest.median))
    assert (largest.median, 4) in card.tried and len(card.tried) < 16
    # Trying algorithms for each batch would take minutes, and other ones need other memory.
    assert card.cudnn == {(True, False)} and torch.backends.cudnn.benchmark
    assert not any(r.counted for r in lines)


def test_a_limit_that_is_not_memory_is_told_and_the_speed_still_measured(monkeypatch):
    """32 px: before the first blur lie 128 maps of 8×8, and 262,144 images of these are 2³¹
    elements.
    """
    bench = Bench(point(batch=None, largest=True))
    with pytest.raises(
        LookupError, match="at least 262143 images fit, and the next has a tensor of more than 2³¹"
    ):
        bench.largest_by_trying(Card(monkeypatch, bench, 10**15, 10**6, 10**6))
    assert bench.batch == int(0.9 * 262143)


@pytest.mark.parametrize(
    ("since", "mode", "steps"),
    [
        (None, "eager", 1 + 20),  # ten seconds of steps of half a second
        (-4.0, "eager", 1 + 11),
        (-60.0, "eager", 1),
        (-60.0, "default", 1 + 20),  # the first step was compiled, and the GPU idled
    ],
    ids=["cold", "after some work", "after a search", "compiled"],
)
def test_a_gpu_works_for_a_while_before_a_network_is_timed_by_itself(
    monkeypatch, since, mode, steps
):
    now, taken = [1000.0], itertools.count()
    monkeypatch.setattr("tresnet_lite.bench.point.time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: None)
    bench = Bench(point(compile=mode, max_seconds=5.0))

    def step() -> None:
        next(taken)
        now[0] += 0.5

    bench.warm(step)
    assert next(taken) == 0  # a CPU is given no such time
    bench.on_gpu = True
    if since is not None:
        bench.at_work = now[0] + since
    bench.warm(step)
    assert next(taken) == 1 + steps


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"model": "resnet9000"}, "LookupError", "has no model 'resnet9000'"),
        ({"model": "resnet18", "norm": "bn"}, "ValueError", "options of our networks"),
        (
            {"measures": "stages", "model": "resnet18"},
            "TypeError",
            "stages are known of our networks",
        ),
    ],
)
def test_what_cannot_be_measured_is_a_failure_with_its_reason(changes, error, says):
    failures = list(run(point(**changes)))
    assert {f.suite for f in failures} == {"table3", "figure4", "figure5"}
    assert all(
        isinstance(f, Failure) and f.error == error and says in f.message and f.phase == ""
        for f in failures
    )


def test_one_phase_may_fail_and_the_other_be_measured(monkeypatch):
    def full(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory in /home/someone/site/kernel.cu")

    monkeypatch.setitem(steps.STEPS, "training", full)
    lines = list(run(point(suites=("table3",))))
    (failure,) = [line for line in lines if isinstance(line, Failure)]
    assert (failure.phase, failure.error) == ("training", "out of memory")
    assert failure.message == "CUDA out of memory in kernel.cu"
    assert [(r.phase, r.metric) for r in lines if isinstance(r, Record)] == [
        ("inference", "throughput")
    ]


def test_stages_and_operations_are_parts_of_a_case_and_ceilings_a_case(monkeypatch):
    options = {"suites": ("micro",), "phases": ("inference",)}
    stages = list(run(point(measures="stages", case="stages", **options)))
    assert [(r.case, r.part) for r in stages] == [
        ("stages", s) for s in ("stem", "layer1", "layer2", "layer3", "layer4", "head")
    ]
    operations = list(run(point(measures="operations", case="operations", **options)))
    assert "others" in {r.part for r in operations}
    assert {(r.case, r.metric) for r in operations} == {("operations", "time")}
    monkeypatch.setitem(roofline.COPIED, "cpu", 512)
    ceilings = point(measures="ceilings", case="ceilings", **options)
    records = list(run(ceilings))
    assert {r.metric for r in records} == {"bandwidth", "arithmetic"} and {
        r.point for r in records
    } == {ceilings.id}


def start() -> subprocess.Popen:
    command = [sys.executable, "-m", "tresnet_lite.bench.point"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, text=True, **pipes)


def test_the_process_prints_nothing_but_lines(monkeypatch):
    monkeypatch.setenv(RUN, "a campaign")
    p, here = point(suites=("table3",), phases=("inference",)), collect("cpu")
    with start() as process:
        process.stdin.write(json.dumps({"point": asdict(p), "command": "x"}) + "\n")
        process.stdin.flush()
        (line,) = process.stdout.read().splitlines()
        assert process.wait() == 0
    record = from_json(line)
    assert record.point == p.id
    assert record.provenance.process not in ("", here.process)
    assert record.provenance.run == here.run  # the same campaign's


def test_the_process_ends_when_its_campaign_is_gone():
    forever = point(min_block=3600.0, max_seconds=3600.0)
    with start() as process:
        process.stdin.write(json.dumps({"point": asdict(forever), "command": "x"}) + "\n")
        process.stdin.close()
        assert process.wait(timeout=120) == 1
        assert process.stdout.read() == ""

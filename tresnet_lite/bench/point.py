"""Measure points of a campaign, in this process: ``python -m tresnet_lite.bench.point``.

A point comes as a line of JSON on standard input and its records go as lines to standard output;
whatever else is printed goes to standard error. Where the job says that more may follow, the line
`DONE` ends the records, and the process waits for the next point. When standard input ends, the
campaign is gone and this process ends too.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property
from queue import SimpleQueue
from typing import TextIO

import torch
from torch import Tensor, nn

from tresnet_lite.bench.allocator import hold_freed_memory
from tresnet_lite.bench.batch_search import ran_out_of_memory
from tresnet_lite.bench.clock import clock_options, measure, measure_many
from tresnet_lite.bench.compare import measure_comparison, norm_backend
from tresnet_lite.bench.comparisons import COMPARISONS, ONE_PHASE
from tresnet_lite.bench.memory import TrainingMemory, counted_batch, counted_memory
from tresnet_lite.bench.roofline import ceiling_records, ceiling_work
from tresnet_lite.bench.steps import STEPS, synthetic_images
from tresnet_lite.bench.suites import DONE, LARGE, LARGER, Point
from tresnet_lite.bench.where import operation_times, stage_times
from tresnet_lite.counting.networks import build
from tresnet_lite.model import TResNet
from tresnet_lite.profiles import Profile
from tresnet_lite.records import Conditions, Failure, Provenance, Record, Spread, collect
from tresnet_lite.records.provenance import without_folders
from tresnet_lite.records.records import MIN_REPEATS
from tresnet_lite.records.text import clean

SHARE = 0.9  # of the largest batch, at which the paper timed (Table 1)
WARM = 2.0  # times `max_seconds`, a GPU works before a network is timed by itself

Lines = Sequence[Record | Failure]


def run(point: Point, command: str = "") -> Iterator[Record | Failure]:
    """What measuring a point gives: records, and failures in place of what could not be measured.

    Args:
        command: that of the campaign, for the records.
    """
    bench = Bench(point, command)
    measures = {"comparison": bench.comparison, "speed": bench.speeds, "stages": bench.stages}
    measures |= {"operations": bench.operations, "ceilings": bench.ceilings}
    try:
        bench.refuse_emulation()
        yield from measures[point.measures]()
    except Exception as error:  # a point that fails is a result too, and the campaign goes on
        yield from bench.failures(error)


class Bench:
    """One point's network on its device, and the records of what is measured there.

    `batch` is the point's; where that is open, 90 % of the largest, once it is known.
    """

    def __init__(self, point: Point, command: str = "") -> None:
        self.point, self.command, self.batch = point, command, point.batch
        self.device = torch.device(point.device)
        self.on_gpu = self.device.type == "cuda"
        if self.on_gpu and self.device.index is None:  # a limit of memory takes a GPU by its number
            self.device = torch.device("cuda", torch.cuda.current_device())
        self.held = None if self.on_gpu else hold_freed_memory()
        self.at_work = float("inf")  # since when, by time.monotonic
        if self.on_gpu:
            torch.backends.cudnn.benchmark = True  # shapes do not change while a step is timed
            if point.memory_budget:
                total = torch.cuda.get_device_properties(self.device).total_memory
                share = min(1.0, point.memory_budget / total)
                torch.cuda.set_per_process_memory_fraction(share, self.device)
        self.before = self.provenance()
        channels_last = point.memory_format == "channels_last"
        self.layout = torch.channels_last if channels_last else torch.contiguous_format

    def refuse_emulation(self) -> None:
        """Raises NotImplementedError for bfloat16 on a GPU without it, such as a V100."""
        emulated = self.on_gpu and not torch.cuda.is_bf16_supported(including_emulation=False)
        if self.point.dtype == "bfloat16" and emulated:
            raise NotImplementedError("this GPU has no bfloat16 of its own, and emulates it slowly")

    # The network and its images.

    @cached_property
    def network(self) -> nn.Module:
        network = build(self.point.model, norm=self.point.norm, memory=self.point.memory)
        return network.to(self.device, memory_format=self.layout)

    def images(self, batch: int) -> Tensor:
        few = synthetic_images(min(batch, 16), self.point.resolution, device=self.device)
        # Many random images would take the host longer than the step takes the device.
        many = few.repeat(-(-batch // len(few)), 1, 1, 1)[:batch]
        return many.contiguous(memory_format=self.layout)

    # What is measured.

    def comparison(self) -> Iterator[Record]:
        """Networks in turn: a few blocks of each, as the spread that counts is over processes."""
        p, comparison = self.point, COMPARISONS[self.point.model]
        blocks = {"repeats": MIN_REPEATS, "min_block": p.min_block}
        blocks["max_seconds"] = p.max_seconds / 4
        batch = p.batch
        if self.on_gpu and torch.cuda.get_device_properties(self.device).total_memory >= LARGE:
            batch *= LARGER
        images = {"image_size": p.resolution, "batch": batch, "dtype": p.dtype, "width": p.width}
        profile = Profile(p.measures, p.device, **images, **blocks)
        for record in measure_comparison(comparison, profile):
            here = replace(record.provenance, command=self.command, memory_held=self.held)
            yield replace(record, provenance=here, point=p.id)

    def speeds(self) -> Iterator[Record | Failure]:
        """Largest batch and peak memory where asked for, then each phase's images per second."""
        memory = TrainingMemory(self.network, self.images, self.point.dtype)
        if self.point.largest:
            search = self.largest_by_trying if self.on_gpu else self.largest_by_counting
            yield from self.attempt("training", lambda: search(memory))
        for phase in self.point.phases if self.batch else ():
            yield from self.attempt(phase, lambda phase=phase: self.throughput(phase))

    def attempt(self, phase: str, work: Callable[[], Lines]) -> Lines:
        """Records, or the failure in their place: what else the point measures may still work."""
        try:
            return work()
        except Exception as error:
            return self.failures(error, phase)

    def throughput(self, phase: str) -> list[Record]:
        point, network = self.point, self.network
        if point.compile != "eager":
            network = torch.compile(network, mode=point.compile, dynamic=False)
        step = STEPS[phase](network, self.images(self.batch), dtype=point.dtype)
        self.warm(step)
        speed = measure(step, **clock_options(point)).rate(self.batch)
        # A budget shows in the speed only by way of the batch.
        budget = None if point.batch else point.memory_budget
        here = self.provenance(step)
        return self.records(phase, "throughput", speed, here, memory_budget=budget)

    def warm(self, step: Callable[[], object]) -> None:
        """Keep a GPU at work until it has been for a while: clocks fall with heat, for seconds.

        Networks that take turns need none of it, as it falls on all of them alike. After a search
        for the largest batch the GPU is warm.
        """
        if not self.on_gpu:
            return
        step()
        torch.cuda.synchronize(self.device)
        if self.point.compile != "eager":  # it was compiled just now, and the GPU idled
            self.at_work = float("inf")
        self.at_work = min(self.at_work, time.monotonic())
        while time.monotonic() < self.at_work + WARM * self.point.max_seconds:
            step()
            torch.cuda.synchronize(self.device)

    def largest_by_trying(self, memory: TrainingMemory) -> list[Record]:
        """The largest batch of training until a GPU is out of memory, and the peak there.

        Raises:
            LookupError: something else than memory sets the limit; the batch is then 90 % of that.
        """
        budget = self.point.memory_budget
        self.at_work = time.monotonic()
        largest = memory.largest_batch(self.device, *counted_memory(self.point), budget)
        self.batch = self.batch or max(1, int(SHARE * largest.batch))
        if largest.too_large is None:
            larger = "the next has a tensor of more than 2³¹ elements: cap the memory to compare"
            raise LookupError(f"at least {largest.batch} images fit, and {larger}")
        # the gap that the search left
        batch = Spread(largest.batch, largest.batch, largest.too_large - 1, 1)
        peak, here = Spread.over([memory.peak(largest.batch)]), self.provenance()
        at = {"batch": largest.batch, "memory_budget": budget}
        return [
            *self.records("training", "largest_batch", batch, here, **at),
            *self.records("training", "peak_memory", peak, here, **at),
        ]

    def largest_by_counting(self, memory: TrainingMemory) -> list[Record]:
        """The batch that a budget of memory would hold, counted, and a measured peak."""
        point, here = self.point, self.provenance()
        largest = counted_batch(point)
        self.batch = self.batch or max(1, int(SHARE * largest))
        batch, peak = Spread.over([largest]), Spread.over([memory.peak(self.batch)])
        at = {"batch": largest, "memory_budget": point.memory_budget}
        return [
            *self.records("training", "largest_batch", batch, here, counted=True, **at),
            *self.records("training", "peak_memory", peak, here),
        ]

    def stages(self) -> Iterator[Record]:
        """Seconds of each stage."""
        network, images, options = self.network, self.images(self.batch), clock_options(self.point)
        for phase in self.point.phases:
            times = stage_times(network, images, phase=phase, dtype=self.point.dtype, **options)
            for stage, value in times.items():
                yield from self.records(phase, "time", value, self.provenance(), part=stage)

    def operations(self) -> Iterator[Record]:
        """Seconds in each operation."""
        network, images = self.network, self.images(self.batch)
        for phase in self.point.phases:
            step = STEPS[phase](network, images, dtype=self.point.dtype)
            for _ in range(3):
                step()  # warm
            for operation, value in operation_times(step, self.device).items():
                yield from self.records(phase, "time", value, self.provenance(), part=operation)

    def ceilings(self) -> list[Record]:
        """The device's copy, matrix product and convolution, filed as those of the chapters are."""
        work = ceiling_work(self.device, self.point.dtype)
        calls = {name: w.run for name, w in work.items()}
        timings = measure_many(calls, **clock_options(self.point))
        records = ceiling_records(work, timings, self.point.device)
        here = self.provenance(work["matrix product"].run)
        return [replace(record, provenance=here, point=self.point.id) for record in records]

    # What is recorded.

    def provenance(self, step: Callable[[], object] | None = None) -> Provenance:
        """Of now; on a GPU while `step` goes on, so that clocks, power and heat are the work's."""
        if step is None or not self.on_gpu:
            return replace(collect(self.device), command=self.command, memory_held=self.held)
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(self.provenance)
            while not answer.done():
                step()
                torch.cuda.synchronize(self.device)
        clock, temperature = self.before.clock, self.before.temperature
        return replace(answer.result(), clock_before=clock, temperature_before=temperature)

    def records(
        self,
        phase: str,
        metric: str,
        value: Spread,
        provenance: Provenance,
        *,
        part: str = "",
        counted: bool = False,
        **conditions: int | None,
    ) -> list[Record]:
        """A record for each suite that shows this phase; `conditions` differ from the point's."""
        p, network = self.point, self.network
        memory = network.config.memory if isinstance(network, TResNet) else None
        way = (p.dtype, p.memory_format, p.compile, norm_backend(network), memory)
        ran = replace(Conditions(self.batch, p.resolution, *way), **conditions)
        what = (p.case, p.model, phase, metric, value, ran, provenance, p.id)
        suites = self.suites(phase)
        return [Record(suite, *what, part=part, counted=counted) for suite in suites]

    def failures(self, error: BaseException, phase: str = "") -> list[Failure]:
        """A failure for each suite, its message in one line; `phase` is "" for the whole point."""
        kind = "out of memory" if ran_out_of_memory(error) else type(error).__name__
        message = clean(without_folders(str(error)), 500) or "no message"
        p, here = self.point, self.provenance()
        what = (p.case, p.model, phase, kind, message, p.id, here)
        return [Failure(suite, *what) for suite in self.suites(phase)]

    def suites(self, phase: str) -> list[str]:
        """The point's suites that show a phase; all of them for ""."""
        suites = self.point.suites
        return [suite for suite in suites if not phase or ONE_PHASE.get(suite, phase) == phase]


def main() -> None:
    lines = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print is no record
    job = json.loads(sys.stdin.readline())
    if "probe" in job:
        lines.write(_probe(job["probe"]))
    else:
        _measure(job, lines)
    lines.flush()
    os._exit(0)  # a thread may wait for input, and Python would wait for it


def _probe(name: str) -> str:
    """The name of a device that can compute; a GPU that this torch has no code for fails here."""
    device = torch.device(name)
    torch.ones(1, device=device).add_(1).item()
    return json.dumps({"device": collect(device).device}) + "\n"


def _measure(job: dict, lines: TextIO) -> None:
    """Measure the job's point, and those that follow."""
    jobs: SimpleQueue[str] = SimpleQueue()
    threading.Thread(target=_read, args=(jobs,), daemon=True).start()
    while True:
        for line in run(Point.from_dict(job["point"]), job["command"]):
            lines.write(line.to_json() + "\n")
        if not job.get("more"):
            return
        gc.collect()
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()
        lines.write(f"{DONE}\n")
        lines.flush()
        job = json.loads(jobs.get())


def _read(jobs: SimpleQueue[str]) -> None:
    """Pass the jobs on; at their end the campaign is gone."""
    for line in sys.stdin:
        jobs.put(line)
    os._exit(1)


if __name__ == "__main__":
    main()

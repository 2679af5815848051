"""Measure one point of a campaign, in this process: ``python -m tresnet_lite.bench.point``.

The point comes as a line of JSON on standard input and its records go as lines to standard output;
whatever else is printed goes to standard error. When standard input ends, the campaign is gone and
this process ends too.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from math import prod

import torch
from torch import nn

from tresnet_lite.bench.batch_search import (
    Largest,
    largest_batch,
    ran_out_of_memory,
    runs_in_memory,
)
from tresnet_lite.bench.clock import measure, measure_many
from tresnet_lite.bench.compare import norm_backend
from tresnet_lite.bench.peak import training_peak
from tresnet_lite.bench.roofline import ceiling_records, ceiling_work
from tresnet_lite.bench.steps import inference_step, synthetic_images, training_step
from tresnet_lite.bench.suites import SHOWN, Point
from tresnet_lite.bench.where import operation_times, stage_times
from tresnet_lite.counting.kept import bytes_per_image
from tresnet_lite.counting.networks import build
from tresnet_lite.counting.trace import trace
from tresnet_lite.model import TResNet
from tresnet_lite.profiles import DTYPES
from tresnet_lite.records import Conditions, Failure, Provenance, Record, Spread, collect
from tresnet_lite.records.provenance import without_folders

STEPS = {"training": training_step, "inference": inference_step}
SHARE = 0.9  # of the largest batch, at which the paper timed (Table 1)
CONFIRM = 4  # full steps that the largest batch must survive
PRECISION = 0.01  # of the largest batch on a GPU; each further step of the search costs seconds


class Bench:
    """One point's network on its device, and what comes of measuring it."""

    def __init__(self, point: Point, command: str = "") -> None:
        self.point, self.command, self.device = point, command, torch.device(point.device)
        self.batch = point.batch
        if self.device.type == "cuda":
            torch.backends.cudnn.benchmark = True  # shapes do not change while a step is timed
            if point.memory_budget:
                total = torch.cuda.get_device_properties(self.device).total_memory
                torch.cuda.set_per_process_memory_fraction(
                    min(1.0, point.memory_budget / total), self.device
                )
        self.before = self.provenance()
        self.layout = (
            torch.channels_last
            if point.memory_format == "channels_last"
            else torch.contiguous_format
        )

    def network(self) -> nn.Module:
        network = build(self.point.model, norm=self.point.norm, memory=self.point.memory)
        return network.to(self.device, memory_format=self.layout)

    def images(self, batch: int) -> torch.Tensor:
        few = synthetic_images(min(batch, 16), self.point.resolution, device=self.device)
        # Many random images would take the host longer than the step takes the device.
        many = few.repeat(-(-batch // len(few)), 1, 1, 1)[:batch]
        return many.contiguous(memory_format=self.layout)

    def clock(self) -> dict[str, object]:
        p = self.point
        return {
            "min_block": p.min_block,
            "min_repeats": p.repeats,
            "max_seconds": p.max_seconds,
            "device": self.device,
        }

    def provenance(self, step: Callable[[], object] | None = None) -> Provenance:
        """Of now; on a GPU while `step` goes on, so that clocks, power and heat are those of the
        work.
        """
        if step is None or self.device.type != "cuda":
            return replace(collect(self.device), command=self.command)
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(self.provenance)
            while not asked.done():
                step()
                torch.cuda.synchronize(self.device)
        before = {"clock_before": self.before.clock, "temperature_before": self.before.temperature}
        return replace(asked.result(), **before)

    def records(
        self,
        network: nn.Module,
        phase: str,
        metric: str,
        value: Spread,
        provenance: Provenance,
        **conditions,
    ) -> list[Record]:
        """One record for each suite that shows this phase; `conditions` are those that differ from
        the point's.
        """
        p = self.point
        ran = Conditions(
            batch=self.batch,
            resolution=p.resolution,
            dtype=p.dtype,
            memory_format=p.memory_format,
            compile=p.compile,
            norm=norm_backend(network),
            memory=network.config.memory if isinstance(network, TResNet) else None,
        )
        ran = replace(ran, **conditions)
        suites = [suite for suite in p.suites if SHOWN.get(suite, phase) == phase]
        return [
            Record(s, p.case, p.model, phase, metric, value, ran, provenance, p.id) for s in suites
        ]

    def failures(self, error: BaseException, phase: str = "") -> list[Failure]:
        """One failure for each suite, told in a line."""
        kind = "out of memory" if ran_out_of_memory(error) else type(error).__name__
        message = without_folders(" ".join(str(error).split()))[:500] or "no message"
        p, here = self.point, self.provenance()
        suites = [suite for suite in p.suites if SHOWN.get(suite, phase) == phase or not phase]
        return [Failure(s, p.case, p.model, phase, kind, message, p.id, here) for s in suites]


def run(point: Point, command: str = "") -> Iterator[Record | Failure]:
    """What measuring a point gives: records, and failures in place of those that could not be
    had.
    """
    bench = Bench(point, command)
    ways = {"speed": _speeds, "stages": _stages, "operations": _operations, "ceilings": _ceilings}
    try:
        yield from ways[point.measures](bench)
    except Exception as error:  # a point that fails is a result too, and the campaign goes on
        yield from bench.failures(error)


def _speeds(bench: Bench) -> Iterator[Record | Failure]:
    """Largest batch and peak memory where they are asked for, then each phase's images a second."""
    point, network = bench.point, bench.network()
    if point.largest:
        search = _largest_on_gpu if bench.device.type == "cuda" else _largest_on_cpu
        yield from _tried(bench, "training", lambda: search(bench, network))
    for phase in point.phases if bench.batch else ():
        yield from _tried(bench, phase, lambda phase=phase: _throughput(bench, network, phase))


def _tried(
    bench: Bench, phase: str, measured: Callable[[], list[Record]]
) -> list[Record] | list[Failure]:
    """Records, or the failure in their place: what else the point measures may still work."""
    try:
        return measured()
    except Exception as error:
        return bench.failures(error, phase)


def _throughput(bench: Bench, network: nn.Module, phase: str) -> list[Record]:
    point = bench.point
    timed = (
        network
        if point.compile == "eager"
        else torch.compile(network, mode=point.compile, dynamic=False)
    )
    step = STEPS[phase](timed, bench.images(bench.batch), dtype=point.dtype)
    speed = measure(step, **bench.clock()).rate(bench.batch)
    # it tells on the speed by way of the batch alone
    budget = None if point.batch else point.memory_budget
    return bench.records(
        network, phase, "throughput", speed, bench.provenance(step), memory_budget=budget
    )


def _largest_on_gpu(bench: Bench, network: nn.Module) -> list[Record]:
    """The largest batch by out-of-memory; 90 % of it becomes the batch, where the point leaves that
    open.

    Raises:
        LookupError: something else than memory sets the limit; the batch is then 90 % of that.
    """
    found = _search(bench, network)
    bench.batch = bench.batch or max(1, int(SHARE * found.batch))
    if found.too_large is None:
        raise LookupError(
            f"batch {found.batch} fits, and the next has a tensor of more than 2³¹ elements"
        )
    at = {"batch": found.batch, "memory_budget": bench.point.memory_budget}
    peak, here = _peak(bench, network, found.batch), bench.provenance()
    # the gap that the search left
    largest = Spread(found.batch, found.batch, found.too_large - 1, 1)
    return [
        *bench.records(network, "training", "largest_batch", largest, here, **at),
        *bench.records(network, "training", "peak_memory", Spread(peak, peak, peak, 1), here, **at),
    ]


def _search(bench: Bench, network: nn.Module) -> Largest:
    """From a good guess, as a step near the limit takes seconds; the answer survives several full
    steps.
    """

    def fits(
        batch: int, steps: int = 2
    ) -> bool:  # the optimiser's state is there from the first step's end on
        return runs_in_memory(lambda: _train(bench, network, batch, steps))

    limit = _index_limit(bench, network)
    free, total = torch.cuda.mem_get_info(bench.device)
    budget = min(
        free + torch.cuda.memory_reserved(bench.device), bench.point.memory_budget or total
    )
    base, per_image = counted_memory(bench.point)
    half = min(limit, max(2, int((budget - base) / per_image))) // 2
    while half > 1 and not fits(half):
        half //= 2
    guess = min(
        limit, max(1, int(0.98 * half * (budget - base) / (_peak(bench, network, half) - base)))
    )
    return largest_batch(
        fits, guess=guess, precision=PRECISION, limit=limit, confirm=lambda b: fits(b, CONFIRM)
    )


def _largest_on_cpu(bench: Bench, network: nn.Module) -> list[Record]:
    """The batch that a budget of memory would hold, by counting (case "counted"), and the peak that
    was measured.
    """
    point, here = bench.point, bench.provenance()
    if point.memory_budget is None:
        raise ValueError("on a CPU the largest batch needs a memory_budget in bytes")
    base, per_image = counted_memory(point)
    found = largest_batch(lambda batch: base + batch * per_image <= point.memory_budget)
    bench.batch = bench.batch or max(1, int(SHARE * found.batch))
    peak = _peak(bench, network, bench.batch)
    at = {"batch": found.batch, "memory_budget": point.memory_budget}
    largest = bench.records(
        network, "training", "largest_batch", Spread(*[found.batch] * 3, 1), here, **at
    )
    return [
        *(replace(record, case="counted") for record in largest),
        *bench.records(network, "training", "peak_memory", Spread(peak, peak, peak, 1), here),
    ]


def counted_memory(point: Point) -> tuple[float, float]:
    """Bytes that training holds whatever the batch, and bytes for each image: counted, nothing is
    run.

    The first are weights, momentum and statistics; the second what autograd keeps for backward, in
    the point's dtype throughout. Passing buffers and the gradients are left out: where the
    activations reach their peak, the gradients of the weights have only begun to appear.
    """
    with torch.device("meta"):
        network = (
            build(point.model, norm=point.norm, memory=point.memory).to(DTYPES[point.dtype]).train()
        )
    size = (3, point.resolution, point.resolution)
    kept = bytes_per_image(
        network, lambda b: torch.empty(b, *size, device="meta", dtype=DTYPES[point.dtype])
    )
    base = 4 * (
        2 * sum(p.numel() for p in network.parameters()) + sum(b.numel() for b in network.buffers())
    )
    return base, sum(kept.values())


def _train(bench: Bench, network: nn.Module, batch: int, steps: int) -> None:
    step = training_step(network, bench.images(batch), dtype=bench.point.dtype)
    for _ in range(steps):
        step()
    if bench.device.type == "cuda":
        torch.cuda.synchronize(bench.device)


def _peak(bench: Bench, network: nn.Module, batch: int) -> int:
    """The most bytes held during a warm training step: weights, momentum, images, activations and
    gradients.
    """
    images = bench.images(batch)
    above = training_peak(network, images, bench.point.dtype)
    if bench.device.type == "cuda":
        return torch.cuda.max_memory_allocated(bench.device)  # since that step began
    weights = sum(p.nbytes for p in network.parameters())
    buffers = sum(b.nbytes for b in network.buffers())
    return 2 * weights + buffers + images.nbytes + above


def _index_limit(bench: Bench, network: nn.Module) -> int:
    """The largest batch whose tensors have less than 2³¹ elements: beyond, many kernels refuse."""
    calls = trace(network, (3, bench.point.resolution, bench.point.resolution))
    return (2**31 - 1) // max(prod(call.output) for call in calls)


def _stages(bench: Bench) -> Iterator[Record]:
    network, images = bench.network(), bench.images(bench.batch)
    for phase in bench.point.phases:
        times = stage_times(
            network, images, phase=phase, dtype=bench.point.dtype, **_without_device(bench)
        )
        for stage, value in times.items():
            yield from _in_case(
                bench, stage, bench.records(network, phase, "time", value, bench.provenance())
            )


def _operations(bench: Bench) -> Iterator[Record]:
    network, images = bench.network(), bench.images(bench.batch)
    for phase in bench.point.phases:
        step = STEPS[phase](network, images, dtype=bench.point.dtype)
        for _ in range(3):
            step()  # warm
        for operation, value in operation_times(step, bench.device).items():
            yield from _in_case(
                bench, operation, bench.records(network, phase, "time", value, bench.provenance())
            )


def _in_case(bench: Bench, part: str, records: list[Record]) -> Iterator[Record]:
    return (replace(record, case=f"{bench.point.case}: {part}") for record in records)


def _without_device(bench: Bench) -> dict[str, object]:
    return {key: value for key, value in bench.clock().items() if key != "device"}


def _ceilings(bench: Bench) -> list[Record]:
    """The device's copy, matrix product and convolution, filed under "roofline" as those of the
    chapters are.
    """
    work = ceiling_work(bench.device, bench.point.dtype)
    timings = measure_many({name: w.run for name, w in work.items()}, **bench.clock())
    records = ceiling_records(work, timings, bench.point.device)
    here = bench.provenance(work["matrix product"].run)
    return [replace(record, provenance=here, point=bench.point.id) for record in records]


def main() -> None:
    lines = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print is no record
    job = json.loads(sys.stdin.readline())
    if "probe" in job:
        device = torch.device(job["probe"])
        torch.ones(1, device=device).add_(
            1
        ).item()  # a GPU that this torch has no code for fails here
        lines.write(json.dumps({"device": collect(device).device}) + "\n")
    else:
        threading.Thread(target=_end_with_the_campaign, daemon=True).start()
        for line in run(Point.from_dict(job["point"]), job["command"]):
            lines.write(line.to_json() + "\n")
    lines.flush()
    os._exit(0)  # the thread still waits for input, and Python would wait for it


def _end_with_the_campaign() -> None:
    while sys.stdin.buffer.raw.read(1):
        time.sleep(0.1)
    os._exit(1)


if __name__ == "__main__":
    main()

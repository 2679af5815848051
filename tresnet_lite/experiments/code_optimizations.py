"""The operations of §2.2 alone, on TResNet-M's shapes: where it runs them, bytes, and time.

A record's case is the operation, such as "blur"; its part is the place in TResNet-M, such as
"stage 2", and with that the shape. The resolution is that of the network's images, not of the
operation's own input. `compiling` and `in_place` hold what §2.2.1 and §2.2.2 need besides.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from statistics import median

import pandas as pd
import torch
from torch import Tensor

from tresnet_lite.bench import measure_many
from tresnet_lite.bench.allocator import hold_freed_memory as hold_freed_memory
from tresnet_lite.bench.clock import Clock, clock_options
from tresnet_lite.counting.shapes import shape_of
from tresnet_lite.counting.trace import trace
from tresnet_lite.counting.traffic import traffic
from tresnet_lite.layers import BlurPool2d, FastGlobalAvgPool2d, SpaceToDepth
from tresnet_lite.model import create_model
from tresnet_lite.profiles import DTYPES, Profile
from tresnet_lite.records import Conditions, Record, Spread, collect

SUITE = "code"
LAYERS = {"SpaceToDepth": SpaceToDepth, "blur": BlurPool2d, "average": FastGlobalAvgPool2d}
# way → `Conditions.compile`; others run eagerly
COMPILERS = {"script": "TorchScript", "compile": "default"}

MapFunction = Callable[[Tensor], Tensor]


def operation_inputs(image_size: int = 224) -> dict[str, dict[str, tuple[int, ...]]]:
    """Where TResNet-M runs each operation: operation → part of the network → input (C, H, W)."""
    shapes: dict[str, dict] = {name: {} for name in LAYERS}
    for name, part, shape in _calls(image_size):
        shapes[name].setdefault(part, shape)
    return shapes


def place_table(image_size: int = 224) -> pd.DataFrame:
    """Columns: operation, part, input (C×H×W), places (how many of them the part has)."""
    counts = Counter((name, part) for name, part, _ in _calls(image_size))
    rows = [
        {"operation": name, "part": part, "input": shape_of(shape), "places": counts[name, part]}
        for name, shapes in operation_inputs(image_size).items()
        for part, shape in shapes.items()
    ]
    return pd.DataFrame(rows)


def _calls(image_size: int) -> list[tuple[str, str, tuple[int, ...]]]:
    """Operation, part and input (C, H, W), in the order in which TResNet-M runs them."""
    with torch.device("meta"):
        network = create_model("tresnet_m")
    return [
        (name, _part(call.path), call.input)
        for call in trace(network, (3, image_size, image_size))
        for name, kind in LAYERS.items()
        if isinstance(call.module, kind)
    ]


def _part(path: str) -> str:
    stage = re.search(r"layer(\d)", path)
    return f"stage {stage[1]}" if stage else "head" if path.startswith("head") else "stem"


def traffic_table(calls: Mapping[str, MapFunction], inputs: Mapping[str, Tensor]) -> pd.DataFrame:
    """What each call moves, in sizes of its input, beside the least: read once, written once.

    Columns: operation, runs, moved, least, over_least (moved ÷ least), parts (bytes by operation,
    in sizes of the input).
    """
    rows = []
    for name, call in calls.items():
        x = inputs[name]
        parts = [(operation.name, operation.moved / x.nbytes) for operation in traffic(call, x)]
        moved, least = sum(size for _, size in parts), 1 + call(x).nbytes / x.nbytes
        row = {"operation": name, "runs": ", ".join(step for step, _ in parts), "moved": moved}
        rows.append(row | {"least": least, "over_least": moved / least, "parts": parts})
    return pd.DataFrame(rows)


def feature_map(
    shape: tuple[int, int, int],
    profile: Profile,
    *,
    batch: int | None = None,
    channels_last: bool = False,
) -> Tensor:
    """Random values (B, C, H, W) on the profile's device, in the precision that maps have there."""
    x = torch.rand(batch or profile.batch, *shape, generator=torch.Generator().manual_seed(0))
    memory_format = torch.channels_last if channels_last else torch.contiguous_format
    return x.to(profile.device, DTYPES[profile.dtype]).contiguous(memory_format=memory_format)


def single_call(call: Callable[[], object], clock: Clock, count: int = 20) -> float:
    """Seconds of a call by itself, the median of `count`, by a clock that waits or does not.

    A block of many calls fills a GPU's queue, and then starting a call takes as long as the call.
    """
    call()  # the first may load or allocate
    return median(clock.block(call, calls=1)[0] for _ in range(count))


def time_calls(
    calls: Mapping[str, MapFunction],
    x: Tensor,
    profile: Profile,
    *,
    case: str,
    part: str = "",
    phase: str = "inference",
) -> list[Record]:
    """Seconds per call of each function on `x` (B, C, H, W), interleaved.

    A training call includes its gradient.

    Raises:
        ValueError: an unknown phase.
    """
    steps = {"inference": _inference, "training": _training}
    if phase not in steps:
        raise ValueError(f"phase {phase!r}: give 'inference' or 'training'")
    functions = {way: steps[phase](call, x) for way, call in calls.items()}
    options = clock_options(profile)
    # a call takes microseconds: short blocks hold many
    options["min_block"] = max(profile.min_block / 5, 0.005)
    options["max_seconds"] = profile.max_seconds / 4
    timings = measure_many(functions, **options)
    return [
        record(profile, x, case, part, way, phase, "time", timing.seconds)
        for way, timing in timings.items()
    ]


def _inference(call: MapFunction, x: Tensor) -> Callable[[], Tensor]:
    return torch.inference_mode()(lambda: call(x))


def _training(call: MapFunction, x: Tensor) -> Callable[[], tuple[Tensor, ...]]:
    x = x.detach().requires_grad_()
    dy = torch.ones_like(call(x))
    return lambda: torch.autograd.grad(call(x), x, dy)


def record(
    profile: Profile,
    x: Tensor,
    case: str,
    part: str,
    way: str,
    phase: str,
    metric: str,
    value: Spread,
) -> Record:
    """A record of this suite, about a call on `x` (B, C, H, W) done in some way."""
    memory_format = "channels_first" if x.is_contiguous() else "channels_last"
    compiler = COMPILERS.get(way, "eager")
    ran = Conditions(len(x), profile.image_size, profile.dtype, memory_format, compiler)
    here = collect(profile.device)
    return Record(SUITE, case, way, phase, metric, value, ran, here, part=part)


def times(records: Iterable[Record], *operations: str, base: str) -> pd.DataFrame:
    """Microseconds per call of each way, and its speed relative to `base` in the same place.

    Columns: what, where (both words for a reader), way, time, ratio, ratio_low, ratio_high.
    """
    timed = [r for r in records if r.metric == "time" and r.case in operations]
    bases = {_where(r): r.value.median for r in timed if r.model == base}
    rows = []
    for r in timed:
        what, where = _where(r)
        base_seconds, v = bases[what, where], r.value
        row = {"what": what, "where": where, "way": r.model, "time": v.median * 1e6}
        row |= {"ratio": base_seconds / v.median, "ratio_low": base_seconds / v.q3}
        rows.append({**row, "ratio_high": base_seconds / v.q1})
    # a map of one pixel has both memory formats
    return pd.DataFrame(rows).drop_duplicates(["what", "where", "way"])


def _where(record: Record) -> tuple[str, str]:
    """("blur, training", "stage 2, batch 4") and the like."""
    words = [record.case]
    if record.phase == "training":
        words.append("training")
    if record.conditions.memory_format == "channels_last":
        words.append("channels-last")
    return ", ".join(words), f"{record.part}, batch {record.conditions.batch}"

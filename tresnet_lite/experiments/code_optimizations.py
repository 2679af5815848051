"""The code optimisations of §2.2: compiling, working in place, averaging; each operation alone, on
TResNet-M's shapes.

Cases of the records are "operation: place", such as "blur: stage 2"; the place says where in
TResNet-M, and with that the shape. Their resolution is that of the network's images, not of the
operation's own input.
"""

from __future__ import annotations

import ast
import ctypes
import platform
import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TypeVar

import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import tresnet_lite
from tresnet_lite.bench import measure_many
from tresnet_lite.bench.peak import peak_memory
from tresnet_lite.counting import count_macs
from tresnet_lite.counting.kept import kept_for_backward
from tresnet_lite.counting.shapes import shape_of
from tresnet_lite.counting.traffic import traffic
from tresnet_lite.layers import (
    BlurPool2d,
    FastGlobalAvgPool2d,
    InPlaceABN,
    SpaceToDepth,
    SqueezeExcite,
)
from tresnet_lite.layers.residual_tail import residual_tail
from tresnet_lite.model import create_model
from tresnet_lite.profiles import DTYPES, Profile
from tresnet_lite.records import Conditions, Record, Spread, collect

SUITE = "code"
LAYERS = {"SpaceToDepth": SpaceToDepth, "blur": BlurPool2d, "average": FastGlobalAvgPool2d}
# way → `Conditions.compile`; others run eagerly
COMPILERS = {
    "script": "TorchScript",
    "compile": "default",
}
OUT, IN, ONE = "out of place", "in place", "one operation"


T = TypeVar("T")
Call = Callable[[Tensor], Tensor]
# (convolution's result, shortcut, SE) → result
Operation = Callable[[Tensor, Tensor, SqueezeExcite], Tensor]

IN_PLACE_OPERATIONS: dict[str, dict[str, Operation]] = {
    "residual sum": {
        OUT: lambda y, shortcut, se: y + shortcut,
        IN: lambda y, shortcut, se: y.add_(shortcut),
    },
    "ReLU": {OUT: lambda y, shortcut, se: F.relu(y), IN: lambda y, shortcut, se: F.relu_(y)},
    "LeakyReLU": {
        OUT: lambda y, shortcut, se: F.leaky_relu(y),
        IN: lambda y, shortcut, se: F.leaky_relu_(y),
    },
    "SE scaling": {
        OUT: lambda y, shortcut, se: y * se.gate(y),
        IN: lambda y, shortcut, se: y.mul_(se.gate(y)),
    },
}


def places(image_size: int = 224) -> dict[str, dict[str, tuple[int, int, int]]]:
    """Where TResNet-M runs each operation: operation → part of the network → input (C, H, W), read
    off the model.
    """
    found: dict[str, dict] = {name: {} for name in LAYERS}
    with torch.device("meta"):
        network = create_model("tresnet_m")
    for path, module in network.named_modules():
        for name, kind in LAYERS.items():
            if isinstance(module, kind):
                module.register_forward_pre_hook(_note_shape(found[name], _part(path)))
    count_macs(network, (3, image_size, image_size))  # runs the model once, without computing
    return found


def _note_shape(shapes: dict[str, tuple], part: str) -> Callable[[nn.Module, tuple], None]:
    def note(_: nn.Module, inputs: tuple) -> None:
        shapes.setdefault(part, tuple(inputs[0].shape[1:]))

    return note


def _part(path: str) -> str:
    stage = re.search(r"layer(\d)", path)
    return f"stage {stage[1]}" if stage else "head" if path.startswith("head") else "stem"


def place_table(image_size: int = 224) -> pd.DataFrame:
    """Columns: operation, part, input (C×H×W), places (how many of them the part has)."""

    with torch.device("meta"):
        modules = [*create_model("tresnet_m").named_modules()]
    rows = []
    for name, shapes in places(image_size).items():
        for part, shape in shapes.items():
            count = sum(isinstance(m, LAYERS[name]) and _part(path) == part for path, m in modules)
            rows.append(
                {"operation": name, "part": part, "input": shape_of(shape), "places": count}
            )
    return pd.DataFrame(rows)


def traffic_table(calls: Mapping[str, Call], inputs: Mapping[str, Tensor]) -> pd.DataFrame:
    """What each call moves, in sizes of its input, against the least: input read once, output
    written once.

    Columns: operation, runs, moved, least, over_least (moved ÷ least), parts (bytes by operation,
    in sizes of the input).
    """

    rows = []
    for name, call in calls.items():
        x = inputs[name]
        found = traffic(call, x)
        moved, least = sum(size for _, size in found) / x.nbytes, 1 + call(x).nbytes / x.nbytes
        row = {
            "operation": name,
            "runs": ", ".join(run for run, _ in found),
            "moved": moved,
            "least": least,
            "over_least": moved / least,
        }
        rows.append(row | {"parts": [(run, size / x.nbytes) for run, size in found]})
    return pd.DataFrame(rows)


def hold_freed_memory() -> bool:
    """Let this process keep the memory that it frees, as PyTorch does on a GPU; False where that
    can't be had.

    Otherwise each large map may be asked of the system anew, and cleared page by page, or may not,
    as chance has it: on a CPU that can take longer than the operation.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    # names of malloc.h; beyond 32 MiB a map is asked for anew all the same
    trim_threshold, mmap_threshold = (
        -1,
        -3,
    )
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(trim_threshold, 2**30) and mallopt(mmap_threshold, 2**25))


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


def time_calls(
    calls: Mapping[str, Call], x: Tensor, profile: Profile, *, case: str, phase: str = "inference"
) -> list[Record]:
    """Seconds a call of each function on `x` (B, C, H, W), interleaved; a training call includes
    its gradient.

    Raises:
        ValueError: an unknown phase.
    """
    if phase not in ("inference", "training"):
        raise ValueError(f"phase {phase!r}: give 'inference' or 'training'")
    make_step = _inference if phase == "inference" else _training
    timings = measure_many(
        {way: make_step(call, x) for way, call in calls.items()},
        device=profile.device,
        # a call takes microseconds: short blocks hold many
        min_block=max(profile.min_block / 5, 0.005),
        min_repeats=profile.repeats,
        max_seconds=profile.max_seconds / 4,
    )
    return [
        _record(profile, x, case, way, phase, "time", timing.seconds)
        for way, timing in timings.items()
    ]


def _inference(call: Call, x: Tensor) -> Callable[[], Tensor]:
    return torch.inference_mode()(lambda: call(x))


def _training(call: Call, x: Tensor) -> Callable[[], tuple[Tensor, ...]]:
    x = x.detach().requires_grad_()
    dy = torch.ones_like(call(x))
    return lambda: torch.autograd.grad(call(x), x, dy)


def _record(
    profile: Profile, x: Tensor, case: str, way: str, phase: str, metric: str, value: Spread
) -> Record:
    memory_format = "channels_first" if x.is_contiguous() else "channels_last"
    compiler = COMPILERS.get(way, "eager")
    ran = Conditions(len(x), profile.image_size, profile.dtype, memory_format, compiler)
    return Record(SUITE, case, way, phase, metric, value, ran, collect(profile.device))


def attempt(make: Callable[[], T]) -> tuple[T | None, str]:
    """What `make` gives, or None and why not: a compiler may be missing, or too old, or too new for
    this Python.
    """
    try:
        return make(), ""
    except Exception as error:  # of any kind: each compiler has its own
        return (
            None,
            (
                f"{type(error).__name__}:"
                f" {str(error).strip().splitlines()[0] if str(error).strip() else ''}"
            ),
        )


def compiled(
    function: Callable[..., Tensor], *example: Tensor
) -> tuple[Callable[..., Tensor] | None, str]:
    """`function` through torch.compile, tried on an example; None and why not where that fails."""

    def make() -> Callable[..., Tensor]:
        fast = torch.compile(function, fullgraph=True, dynamic=False)
        with torch.inference_mode():
            fast(*example)
        return fast

    return attempt(make)


def refusal(call: Callable[[], object]) -> str:
    """The first sentence of PyTorch's objection to a call, or that there is none."""
    try:
        call()
    except RuntimeError as error:
        return re.split(r"\. |: \[| \(|\.?\n|\.$", str(error))[0]
    return "no objection"


class Layer(nn.Module):
    """A 1×1 convolution, then one operation on its result: (B, C, H, W) → (B, C, H, W)."""

    def __init__(self, operation: Operation, channels: int) -> None:
        super().__init__()
        self.operation = operation
        self.conv = nn.Conv2d(channels, channels, 1, bias=False)
        self.se = SqueezeExcite(channels, max(channels // 4, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.operation(self.conv(x), x, self.se)


class BlockEnd(nn.Module):
    """How a BasicBlock ends, after a 1×1 convolution: norm, SE, sum, ReLU; written in one of three
    ways.
    """

    def __init__(self, way: str, channels: int) -> None:
        super().__init__()
        self.way, self.conv = way, nn.Conv2d(channels, channels, 1, bias=False)
        self.bn = nn.BatchNorm2d(channels)
        if way == ONE:
            self.bn = InPlaceABN(channels, activation="identity", weight_sign="signed")
        self.se, self.act = (
            SqueezeExcite(channels, max(channels // 4, 1)),
            nn.ReLU(inplace=way == IN),
        )

    def forward(self, x: Tensor) -> Tensor:
        if self.way == ONE:
            return residual_tail(self.conv(x), x, self.bn, self.se, self.act)
        y = self.se(self.bn(self.conv(x)))
        return self.act(y.add_(x) if self.way == IN else y + x)


def kept_maps(make_layer: Callable[[int], nn.Module], channels: int = 64, side: int = 56) -> float:
    """Feature maps that autograd keeps for one more of the layers that `make_layer` builds (from
    their channels).
    """
    with torch.device("meta"):
        x = torch.zeros(2, channels, side, side)
        few, many = (
            sum(
                kept.bytes
                for kept in kept_for_backward(
                    nn.Sequential(*(make_layer(channels) for _ in range(n))), x
                )
            )
            for n in (1, 3)
        )
    return (many - few) / 2 / x.nbytes


def kept_table() -> pd.DataFrame:
    """Feature maps that an operation moves, and that training keeps for a convolution and the
    operation after it.

    Columns: operation, moved out, moved in, kept out, kept in ("out": out of place, "in": in
    place).
    """

    rows = []
    for name, ways in IN_PLACE_OPERATIONS.items():
        row: dict[str, object] = {"operation": name}
        for way, short in ((OUT, "out"), (IN, "in")):
            row[f"moved {short}"] = _moved_maps(ways[way])
            row[f"kept {short}"] = round(kept_maps(partial(Layer, ways[way])), 2)
        rows.append(row)
    return pd.DataFrame(rows)


def _moved_maps(operation: Operation, side: int = 56) -> float:
    with torch.device("meta"):
        y, shortcut, se = (
            torch.zeros(2, 64, side, side),
            torch.zeros(2, 64, side, side),
            SqueezeExcite(64, 16),
        )
        return round(
            sum(size for _, size in traffic(lambda y: operation(y, shortcut, se), y)) / y.nbytes, 2
        )


def measure_in_place(shape: tuple[int, int, int], profile: Profile) -> list[Record]:
    """Time of each operation alone, and the peak of a training step of four layers that use it;
    both ways.
    """
    records = []
    for name, ways in IN_PLACE_OPERATIONS.items():
        case = f"{name}: stage 1"
        y = feature_map(shape, profile)
        # A sum with 0 and a gate of 1: overwritten again and again, the values neither grow nor
        # vanish.
        others = {"shortcut": torch.zeros_like(y), "se": _OpenGate(y)}
        calls = {way: partial(operation, **others) for way, operation in ways.items()}
        records += time_calls(calls, y, profile, case=case)
        for way, operation in ways.items():
            layers = nn.Sequential(*(Layer(operation, shape[0]) for _ in range(4))).to(
                y.device, y.dtype
            )
            peak = float(peak_memory(_training_step(layers, y), profile.device))
            records.append(
                _record(
                    profile, y, case, way, "training", "peak_memory", Spread(peak, peak, peak, 1)
                )
            )
    return records


class _OpenGate:
    """Stands for squeeze-and-excitation where the scaling alone is timed."""

    def __init__(self, y: Tensor) -> None:
        self.open = y.new_ones(len(y), y.shape[1], 1, 1)

    def gate(self, y: Tensor) -> Tensor:
        return self.open


def _training_step(model: nn.Module, x: Tensor) -> Callable[[], None]:
    def step() -> None:
        model(x).float().mean().backward()

    step()  # the first allocates the gradients, which stay
    return step


def in_place_table(records: Iterable[Record]) -> pd.DataFrame:
    """Columns: operation, out and in (µs), speedup and its spread (speed in place ÷ out), peak out,
    peak in (MB).
    """

    rows = []
    found = {(r.case.partition(":")[0], r.metric, r.model): r for r in records}
    for name in IN_PLACE_OPERATIONS:
        out, into = (found[name, "time", way].value for way in (OUT, IN))
        row = {"operation": name, "out": out.median * 1e6, "in": into.median * 1e6}
        row |= {
            "speedup": out.median / into.median,
            "spread": (out.q1 / into.q3, out.q3 / into.q1),
        }
        for way, short in ((OUT, "out"), (IN, "in")):
            peak = found[name, "peak_memory", way]
            row[f"peak {short}"] = peak.value.median / peak.conditions.batch / 1e6
        rows.append(row)
    return pd.DataFrame(rows)


def times(records: Iterable[Record], *operations: str, base: str) -> pd.DataFrame:
    """Microseconds a call of each way, and its speed relative to the way `base` in the same place.

    Columns: what, where (both words for a reader), way, time, q1, q3, ratio, ratio_q1, ratio_q3.
    """

    chosen = [r for r in records if r.metric == "time" and r.case.partition(": ")[0] in operations]
    bases = {_where(r): r.value.median for r in chosen if r.model == base}
    rows = []
    for r in chosen:
        (what, where), v = _where(r), r.value
        row = {
            "what": what,
            "where": where,
            "way": r.model,
            "time": v.median * 1e6,
            "q1": v.q1 * 1e6,
            "q3": v.q3 * 1e6,
        }
        unit = bases[what, where]
        rows.append(
            row | {"ratio": unit / v.median, "ratio_q1": unit / v.q3, "ratio_q3": unit / v.q1}
        )
    # a map of one pixel has both memory formats
    return pd.DataFrame(rows).drop_duplicates(["what", "where", "way"])


def _where(record: Record) -> tuple[str, str]:
    """("blur, training", "stage 2, batch 4") and the like."""
    c, (operation, _, place) = record.conditions, record.case.partition(": ")
    how = [
        *(["training"] if record.phase == "training" else []),
        *(["channels-last"] if _last(record) else []),
    ]
    return ", ".join([operation, *how]), f"{place}, batch {c.batch}"


def _last(record: Record) -> bool:
    return record.conditions.memory_format == "channels_last"


def torchscript_uses(folder: Path | None = None) -> tuple[int, list[str]]:
    """How many modules a folder (default: this package) has, and where they use TorchScript
    ("file:line").
    """
    folder = folder or Path(tresnet_lite.__file__).parent
    files, uses = sorted(folder.rglob("*.py")), []
    for file in files:
        nodes = ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        lines = {
            node.lineno
            for node in nodes
            if any(re.match(r"torch\.jit\b", name) for name in _names(node))
        }
        uses += [f"{file.relative_to(folder)}:{line}" for line in sorted(lines)]
    return len(files), uses


def _names(node: ast.AST) -> list[str]:
    """The dotted names that a piece of code imports or reaches into."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return [f"{node.module}.{alias.name}" for alias in node.names]
    return [ast.unparse(node)] if isinstance(node, ast.Attribute) else []

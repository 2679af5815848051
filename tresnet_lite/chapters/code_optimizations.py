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
from typing import TYPE_CHECKING, Any, TypeVar

import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, NullLocator, StrMethodFormatter
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

import tresnet_lite
from tresnet_lite import create_model, plots
from tresnet_lite.bench import Conditions, Record, Spread, collect, count_macs, measure_many
from tresnet_lite.bench.memory import kept_for_backward, peak_memory
from tresnet_lite.bench.steps import DTYPES
from tresnet_lite.claims import load_claims
from tresnet_lite.layers import (
    BlurPool2d,
    FastGlobalAvgPool2d,
    InPlaceABN,
    SpaceToDepth,
    SqueezeExcite,
)
from tresnet_lite.layers.residual_tail import residual_tail
from tresnet_lite.profiles import Profile

if TYPE_CHECKING:
    import pandas as pd

SUITE = "code"
LAYERS = {"SpaceToDepth": SpaceToDepth, "blur": BlurPool2d, "average": FastGlobalAvgPool2d}
COMPILERS = {
    "script": "TorchScript",
    "compile": "default",
}  # way → `Conditions.compile`; others run eagerly
OUT, IN, ONE = "out of place", "in place", "one operation"

# Columns for `notebook.table`.
PLACES = {
    "operation|operation": "",
    "part|part": "",
    "input, C×H×W|input": "",
    "places|places": "d",
}
TRAFFIC = {
    "operation|operation": "",
    "what runs|runs": "",
    "moved|moved": ".2f",
    "least|least": ".2f",
    "moved ÷ least|gain": ".2f",
}
KEPT = {
    "operation|operation": "",
    "moved, out of place|moved out": ".0f",
    "moved, in place|moved in": ".0f",
    "kept, out of place|kept out": ".0f",
    "kept, in place|kept in": ".0f",
}
IN_PLACE = {
    "operation|operation": "",
    "out of place, µs|out": ",.1f",
    "in place, µs|in": ",.1f",
    "in place, speed|ratio": ".2f",
    "quartiles|spread": "",
    "peak out of place, MB an image|peak out": ".2f",
    "peak in place|peak in": ".2f",
}

T = TypeVar("T")
Call = Callable[[Tensor], Tensor]
Operation = Callable[
    [Tensor, Tensor, SqueezeExcite], Tensor
]  # (convolution's result, shortcut, SE) → result

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
    import pandas as pd

    with torch.device("meta"):
        modules = [*create_model("tresnet_m").named_modules()]
    rows = []
    for name, shapes in places(image_size).items():
        for part, shape in shapes.items():
            count = sum(isinstance(m, LAYERS[name]) and _part(path) == part for path, m in modules)
            rows.append(
                {"operation": name, "part": part, "input": plots.shape_of(shape), "places": count}
            )
    return pd.DataFrame(rows)


class _Traffic(TorchDispatchMode):
    """Notes each operation that touches memory, with the bytes that it reads and writes; views
    touch none.
    """

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, int]] = []

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        read = [t for t in args if isinstance(t, Tensor)]
        written = [
            t for t in (result if isinstance(result, tuple) else (result,)) if isinstance(t, Tensor)
        ]
        same = {_storage(t) for t in written} <= {_storage(t) for t in read}
        name = function.overloadpacket.__name__
        if name != "as_strided_" and (
            function._schema.is_mutable or not same
        ):  # that one moves nothing either
            self.found.append((name.rstrip("_"), sum(map(_bytes, read + written))))
        return result


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


def _bytes(tensor: Tensor) -> int:
    return min(
        tensor.nbytes, tensor.untyped_storage().nbytes()
    )  # an expanded tensor is smaller than it looks


def traffic(call: Callable[..., Tensor], *tensors: Tensor) -> list[tuple[str, int]]:
    """The operations of PyTorch that a call runs, and the bytes that each reads and writes; caches
    are ignored.
    """
    with torch.no_grad(), _Traffic() as mode:
        call(*tensors)
    return mode.found


def traffic_table(calls: Mapping[str, Call], inputs: Mapping[str, Tensor]) -> pd.DataFrame:
    """What each call moves, in sizes of its input, against the least: input read once, output
    written once.

    Columns: operation, runs, moved, least, gain (moved ÷ least), parts (bytes by operation, in
    sizes of the input).
    """
    import pandas as pd

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
        }
        rows.append(
            row | {"gain": moved / least, "parts": [(run, size / x.nbytes) for run, size in found]}
        )
    return pd.DataFrame(rows)


def hold_freed_memory() -> bool:
    """Let this process keep the memory that it frees, as PyTorch does on a GPU; False where that
    can't be had.

    Otherwise each large map may be asked of the system anew, and cleared page by page, or may not,
    as chance has it: on a CPU that can take longer than the operation.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    trim_threshold, mmap_threshold = (
        -1,
        -3,
    )  # names of malloc.h; beyond 32 MiB a map is asked for anew all the same
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
        min_block=max(
            profile.min_block / 5, 0.005
        ),  # a call takes microseconds: short blocks hold many
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
    import pandas as pd

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
    """Columns: operation, out and in (µs), ratio and its spread (speed in place ÷ out), peak out,
    peak in (MB).
    """
    import pandas as pd

    rows = []
    found = {(r.case.partition(":")[0], r.metric, r.model): r for r in records}
    for name in IN_PLACE_OPERATIONS:
        out, into = (found[name, "time", way].value for way in (OUT, IN))
        row = {"operation": name, "out": out.median * 1e6, "in": into.median * 1e6}
        row |= {
            "ratio": out.median / into.median,
            "spread": _spread(out.q1 / into.q3, out.q3 / into.q1),
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
    import pandas as pd

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
    return pd.DataFrame(rows).drop_duplicates(
        ["what", "where", "way"]
    )  # a map of one pixel has both memory formats


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


def speed_table(timed: pd.DataFrame, of: str, claim: str) -> tuple[pd.DataFrame, dict[str, str]]:
    """A row for each place in `timed` (see `times`), and its columns for `notebook.table`.

    The columns hold the microseconds of each way, and the speed of the way `of` with its quartiles
    beside the factor that the paper's claim names.
    """
    place, ways = ["what", "where"], list(dict.fromkeys(timed["way"]))
    table = timed.pivot(index=place, columns="way", values="time").reindex(
        timed.set_index(place).index.unique()
    )
    speeds = timed[timed["way"] == of].set_index(place)[["ratio", "ratio_q1", "ratio_q3"]]
    table = table.join(speeds).assign(paper=printed_factor(claim)).reset_index()
    table["place"] = (
        table["what"]
        + ": "
        + table["where"].str.replace(" (?=[0-9])", "\N{NO-BREAK SPACE}", regex=True)
    )
    limits = zip(table["ratio_q1"], table["ratio_q3"], strict=True)
    table["spread"] = [
        _spread(low, high) if low == low else "–" for low, high in limits
    ]  # NaN: not measured
    formats = {"where|place": ""} | {f"{way}, µs|{way}": ",.1f" for way in ways}
    return table, formats | {
        f"{of}, speed|ratio": ".2f",
        "quartiles|spread": "",
        "paper|paper": ".0f",
    }


def _spread(low: float, high: float) -> str:
    return f"{low:.2f}–\N{WORD JOINER}{high:.2f}"  # one word, for a table's cell


def printed_factor(claim: str) -> float:
    """How many times as fast the paper says, from the claim's check."""
    return float(next(c for c in load_claims() if c.id == claim).check["factor"])


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


@plots.drawing
def draw_traffic(table: pd.DataFrame) -> tuple[Figure, str]:
    """What each operation moves, a part for each step that runs, above the least that any program
    must move.
    """
    colours = dict(
        zip(dict.fromkeys(s for p in table["parts"] for s, _ in p), _PALETTE, strict=False)
    )
    figure = Figure(figsize=(plots.WIDTH, 0.78 * len(table) + 0.75), layout="constrained")
    axes = figure.subplots()
    for i, row in enumerate(table.itertuples()):
        left = 0.0
        for step, size in row.parts:
            hue = colours[step]
            axes.barh(
                i - 0.04, size, 0.36, left, color=(*_rgb(hue), 0.45), edgecolor=hue, linewidth=1.2
            )
            axes.text(
                left + size / 2,
                i - 0.04,
                step.split("_")[0],
                ha="center",
                va="center",
                fontsize=plots.SMALL,
            )
            left += size
        axes.barh(i + 0.28, row.least, 0.2, color="none", edgecolor=plots.INK, linewidth=0.8)
        axes.text(0, i - 0.34, row.operation, weight="bold", va="center")
        axes.text(
            row.least + 0.05,
            i + 0.28,
            f"the least: {row.least:.2f}",
            va="center",
            fontsize=plots.SMALL,
        )
    axes.set(ylim=(len(table) - 0.5, -0.55), yticks=[], xlabel="bytes moved, in sizes of the input")
    axes.spines["left"].set_visible(False)
    told = [
        f"{r.operation}: {r.runs} move {r.moved:.2f}, the least is {r.least:.2f}"
        for r in table.itertuples()
    ]
    return figure, f"Bytes moved, in sizes of the input. {'; '.join(told)}."


_PALETTE = (plots.BLUE, plots.ORANGE, plots.GREEN, plots.PURPLE, plots.SKY)


def _rgb(colour: str) -> tuple[float, ...]:
    return tuple(int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))


@plots.drawing
def draw_kept(table: pd.DataFrame) -> tuple[Figure, str]:
    """For each operation on y with result z: which maps exist, out of place and in place, and which
    are kept.

    `table` is `kept_table`'s. The next convolution keeps z in any case; what more is kept, the
    count tells.
    """
    row_height, top = 66.0, 34.0
    figure, axes = plots.canvas(top + row_height * len(table) + 4)
    middle = plots.WIDTH / plots.POINT / 2
    for x, name in ((4, OUT), (middle + 4, IN)):
        axes.text(x, 11, name, weight="bold", va="center")
    told = []
    for i, row in enumerate(table.to_dict("records")):
        y = top + row_height * i
        axes.text(4, y, row["operation"], va="center", fontsize=plots.SMALL)
        _maps(axes, 4, y + 10, [("y", row["kept out"] > 1), ("z", True)], row["kept out"])
        copied = row["kept in"] > 1
        boxes = [("copy of y", True), ("y, then z", True)] if copied else [("y, then z", True)]
        _maps(axes, middle + 4, y + 10, boxes, row["kept in"])
        told.append(
            f"{row['operation']}: {row['kept out']:.0f} out of place, {row['kept in']:.0f} in place"
        )
    return figure, f"Maps kept for backward by an operation from y to z. {'; '.join(told)}."


def _maps(axes: Any, left: float, top: float, boxes: list[tuple[str, bool]], kept: float) -> None:
    """Feature maps side by side, those that are kept marked, and how many those are."""
    width, high = 62.0, 24.0
    for i, (name, marked) in enumerate(boxes):
        x = left + i * (width + 8)
        plots.box(axes, x, top, width, high, plots.VERMILLION if marked else "none", strong=marked)
        axes.text(
            x + width / 2, top + high / 2, name, ha="center", va="center", fontsize=plots.SMALL
        )
    axes.text(left, top + high + 10, f"kept: {kept:.0f}", va="center", fontsize=plots.SMALL)


@plots.drawing
def draw_speeds(timed: pd.DataFrame, *, base: str, of: str, claim: str) -> tuple[Figure, str]:
    """Speed relative to `base` at each place of `times`, a marker for each way with its quartiles.

    A line stands where the paper's claim puts the way `of`.
    """
    whats, paper = list(dict.fromkeys(timed["what"])), printed_factor(claim)
    wheres = {
        what: list(dict.fromkeys(timed.loc[timed["what"] == what, "where"])) for what in whats
    }
    heights = [0.5 + 0.42 * len(wheres[what]) for what in whats]
    figure = Figure(figsize=(plots.WIDTH, sum(heights) + 1.1), layout="constrained")
    grid = figure.subplots(
        len(whats), 1, sharex=True, squeeze=False, gridspec_kw={"height_ratios": heights}
    )
    for axes, what in zip(grid.flat, whats, strict=True):
        axes.axvline(1, color=plots.INK, linewidth=0.8, alpha=0.5)
        axes.axvline(
            paper, color=plots.VERMILLION, linewidth=1.5, linestyle="--", label=f"paper, {of}"
        )
        _markers(axes, timed[(timed["what"] == what) & (timed["way"] != base)], wheres[what])
        axes.set_title(what)
        _doubling_scale(axes, timed["ratio_q1"].min(), max(timed["ratio_q3"].max(), paper))
    axes.set_xlabel(f"speed, {base} = 1 (right is faster)")
    figure.legend(
        *grid.flat[0].get_legend_handles_labels(),
        loc="outside upper center",
        ncols=2,
        handletextpad=0.4,
    )
    told = [f"{r.what}, {r.where}, {r.way}: {r.ratio:.2f}" for r in timed.itertuples()]
    return (
        figure,
        f"Speed relative to {base}; the paper says {paper:g} for {of}. {'; '.join(told)}.",
    )


def _markers(axes: Any, timed: pd.DataFrame, wheres: list[str]) -> None:
    """A row for each place, and in it a marker for each way."""
    ways = list(dict.fromkeys(timed["way"]))
    for k, way in enumerate(ways):
        part = timed[timed["way"] == way]
        y = [wheres.index(where) + 0.22 * (k - (len(ways) - 1) / 2) for where in part["where"]]
        axes.hlines(y, part["ratio_q1"], part["ratio_q3"], color=_PALETTE[k], linewidth=2.5)
        axes.plot(part["ratio"], y, "osD^"[k], color=_PALETTE[k], markersize=6, label=way)
    axes.set(ylim=(len(wheres) - 0.5, -0.5), yticks=range(len(wheres)), yticklabels=wheres)


def _doubling_scale(axes: Any, low: float, high: float) -> None:
    """A logarithmic axis with plain numbers, each twice the one before."""
    ticks = [2.0**n for n in range(-10, 11)]
    axes.set_xscale("log")
    axes.set_xlim(min(low, 0.9) / 1.15, high * 1.2)
    axes.set_xticks([t for t in ticks if min(low, 0.9) / 1.15 <= t <= high * 1.2])
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(left=False)
    axes.spines["left"].set_visible(False)

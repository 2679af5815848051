"""Working in place (§2.2.2): what it moves and keeps, what autograd refuses, what it takes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import partial

import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tresnet_lite.bench.peak import peak_memory
from tresnet_lite.counting.kept import kept_for_backward
from tresnet_lite.counting.traffic import traffic
from tresnet_lite.experiments.code_optimizations import feature_map, record, time_calls
from tresnet_lite.layers import InPlaceABN, SqueezeExcite
from tresnet_lite.layers.residual_tail import residual_tail
from tresnet_lite.profiles import Profile
from tresnet_lite.records import Record, Spread

OUT, IN, ONE = "out of place", "in place", "one operation"
PLACE = "stage 1"  # of TResNet-M, where the operations are timed

# from y, the convolution's result, the shortcut s, and SE: the result z
TailOperation = Callable[[Tensor, Tensor, SqueezeExcite], Tensor]

OPERATIONS: dict[str, dict[str, TailOperation]] = {
    "residual sum": {OUT: lambda y, s, se: y + s, IN: lambda y, s, se: y.add_(s)},
    "ReLU": {OUT: lambda y, s, se: F.relu(y), IN: lambda y, s, se: F.relu_(y)},
    "LeakyReLU": {OUT: lambda y, s, se: F.leaky_relu(y), IN: lambda y, s, se: F.leaky_relu_(y)},
    "SE scaling": {OUT: lambda y, s, se: y * se.gate(y), IN: lambda y, s, se: y.mul_(se.gate(y))},
}


class OperationLayer(nn.Module):
    """A 1×1 convolution, then one operation on its result: (B, C, H, W) → (B, C, H, W)."""

    def __init__(self, operation: TailOperation, channels: int) -> None:
        super().__init__()
        self.operation = operation
        self.conv = nn.Conv2d(channels, channels, 1, bias=False)
        self.se = SqueezeExcite(channels, max(channels // 4, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.operation(self.conv(x), x, self.se)


class BlockEnd(nn.Module):
    """A BasicBlock's end after a 1×1 convolution: norm, SE, sum, ReLU; `way` is OUT, IN or ONE."""

    def __init__(self, way: str, channels: int) -> None:
        super().__init__()
        self.way = way
        self.conv = nn.Conv2d(channels, channels, 1, bias=False)
        self.bn = nn.BatchNorm2d(channels)
        if way == ONE:
            self.bn = InPlaceABN(channels, activation="identity", weight_sign="signed")
        self.se = SqueezeExcite(channels, max(channels // 4, 1))
        self.act = nn.ReLU(inplace=way == IN)

    def forward(self, x: Tensor) -> Tensor:
        if self.way == ONE:
            return residual_tail(self.conv(x), x, self.bn, self.se, self.act)
        y = self.se(self.bn(self.conv(x)))
        return self.act(y.add_(x) if self.way == IN else y + x)


def kept_maps(make_layer: Callable[[int], nn.Module], channels: int = 64, side: int = 56) -> float:
    """Feature maps that autograd keeps for one more layer; `make_layer` builds it from channels."""

    def kept(layers: int) -> int:
        model = nn.Sequential(*(make_layer(channels) for _ in range(layers)))
        return sum(tensor.bytes for tensor in kept_for_backward(model, x))

    with torch.device("meta"):
        x = torch.zeros(2, channels, side, side)
        return (kept(3) - kept(1)) / 2 / x.nbytes


def moved_maps(operation: TailOperation, channels: int = 64, side: int = 56) -> float:
    """Feature maps that an operation reads and writes."""
    with torch.device("meta"):
        y, se = torch.zeros(2, channels, side, side), SqueezeExcite(channels, channels // 4)
        steps = traffic(operation, y, torch.zeros_like(y), se)
    return sum(step.moved for step in steps) / y.nbytes


def kept_table() -> pd.DataFrame:
    """Feature maps that an operation moves, and that training keeps for a convolution and it.

    Columns: operation, moved out, moved in, kept out, kept in (out of place, in place).
    """
    rows = []
    for name, ways in OPERATIONS.items():
        row: dict[str, object] = {"operation": name}
        for way, short in ((OUT, "out"), (IN, "in")):
            row[f"moved {short}"] = round(moved_maps(ways[way]), 2)
            row[f"kept {short}"] = round(kept_maps(partial(OperationLayer, ways[way])), 2)
        rows.append(row)
    return pd.DataFrame(rows)


def refusal(call: Callable[[], object]) -> str:
    """The first sentence of PyTorch's objection to a call, or that there is none."""
    try:
        call()
    except RuntimeError as error:
        return re.split(r"\. |: \[| \(|\.?\n|\.$", str(error))[0]
    return "no objection"


def measure_operations(shape: tuple[int, int, int], profile: Profile) -> list[Record]:
    """Time of each operation on a map (C, H, W), and peak of training four layers, both ways."""
    records = []
    for name, ways in OPERATIONS.items():
        y = feature_map(shape, profile)
        # A sum with 0 and a gate of 1: overwritten again and again, the values neither grow nor
        # vanish.
        others = {"s": torch.zeros_like(y), "se": _OpenGate(y)}
        calls = {way: partial(operation, **others) for way, operation in ways.items()}
        records += time_calls(calls, y, profile, case=name, part=PLACE)
        for way, operation in ways.items():
            layers = nn.Sequential(*(OperationLayer(operation, shape[0]) for _ in range(4)))
            step = _training_step(layers.to(y.device, y.dtype), y)
            value = Spread.over([float(peak_memory(step, profile.device))])
            records.append(record(profile, y, name, PLACE, way, "training", "peak_memory", value))
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


def times_and_peaks(records: Iterable[Record]) -> pd.DataFrame:
    """The records of `measure_operations`, a row for each operation.

    Columns: operation, out and in (µs), speedup (in place ÷ out of place), spread (its quartiles),
    peak out and peak in (MB per image).
    """
    by_way = {(r.case, r.metric, r.model): r for r in records}
    rows = []
    for name in OPERATIONS:
        out, into = (by_way[name, "time", way].value for way in (OUT, IN))
        peaks = (by_way[name, "peak_memory", way] for way in (OUT, IN))
        peak_out, peak_in = (p.value.median / p.conditions.batch / 1e6 for p in peaks)
        row = {"operation": name, "out": out.median * 1e6, "in": into.median * 1e6}
        row |= {"speedup": out.median / into.median, "spread": (out.q1 / into.q3, out.q3 / into.q1)}
        rows.append({**row, "peak out": peak_out, "peak in": peak_in})
    return pd.DataFrame(rows)

"""The time of a step, operation by operation: the longer of its arithmetic and its memory traffic.

    t(operation) = max(MACs · padding / arithmetic, bytes / bandwidth)
    t(step)      = slowdown · (Σ t(operation) + optimiser's bytes / bandwidth)

The rates are fitted to measured networks, not read from a data sheet: a fitted bandwidth is what
reproduces speeds under the byte rules of `counting.traffic`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tresnet_lite.predict.load import NORMS, PUBLISHED, Load


@dataclass(frozen=True)
class Rules:
    """What is assumed before anything is fitted.

    Attributes:
        inputs, outputs: channels of a dense convolution are padded to a multiple of these, because
            tensor cores work on tiles.
        grouped: the same for both ends of a group of a grouped convolution; depthwise ones are not
            padded.
        norm_passes: how many of a norm's reads of its map count in training: 2 as counted, 1 or 3.
        split_published: the published Inplace-ABN as a norm, then an activation.
    """

    inputs: int = 8
    outputs: int = 64
    grouped: int = 16
    norm_passes: int = 2
    split_published: bool = False


@dataclass(frozen=True)
class Rates:
    """A device's constants.

    Attributes:
        arithmetic: MAC/s of dense and grouped convolutions and matrix products.
        bandwidth: bytes per second.
        depthwise: MAC/s of depthwise convolutions; None: as all others.
        slowdown: of training: how many times as long as counted it takes.
        launch: seconds that an operation takes at least.
    """

    arithmetic: float
    bandwidth: float
    depthwise: float | None = None
    slowdown: float = 1.0
    launch: float = 0.0


def padding(load: Load, rules: Rules) -> np.ndarray:
    """MACs done on whole tiles over MACs asked for, (operations,)."""
    groups, inputs, outputs = np.maximum(load.channels, 1).T
    grouped = groups > 1
    tile_in = np.where(grouped, rules.grouped, rules.inputs)
    tile_out = np.where(grouped, rules.grouped, rules.outputs)
    ratio = _up(inputs, tile_in) * _up(outputs, tile_out) / (inputs * outputs)
    return np.where((load.channels > 0).all(1) & ~load.depthwise, ratio, 1.0)


def _up(count: np.ndarray, multiple: np.ndarray) -> np.ndarray:
    return -(-count // multiple) * multiple


@dataclass(frozen=True)
class Demand:
    """Loads at their batches and under rules, one network's operations after the other's.

    Attributes:
        macs, moved: per image, (operations,).
        depthwise, training: what each operation is, (operations,).
        launches: 1 over its batch, (operations,).
        starts: the index of each network's first operation, (networks,).
        parameter_bytes: per image, (networks,).
    """

    macs: np.ndarray
    moved: np.ndarray
    depthwise: np.ndarray
    training: np.ndarray
    launches: np.ndarray
    starts: np.ndarray
    parameter_bytes: np.ndarray


def demand(steps: Sequence[tuple[Load, int]], rules: Rules) -> Demand:
    """What each step, a load and its batch, asks for per image under rules.

    Raises:
        ValueError: a batch below 1.
    """
    if least := [batch for _, batch in steps if batch < 1]:
        raise ValueError(f"batch is {least[0]}: it must be 1 or more")
    sizes = [len(load.names) for load, _ in steps]
    batches = np.repeat([batch for _, batch in steps], sizes)
    moved = [(load.moved + load.once / batch) * _byte_factors(load, rules) for load, batch in steps]
    return Demand(
        np.concatenate([load.macs * padding(load, rules) for load, _ in steps]),
        np.concatenate(moved),
        np.concatenate([load.depthwise for load, _ in steps]),
        np.repeat([load.phase == "training" for load, _ in steps], sizes),
        1 / batches,
        np.cumsum([0, *sizes[:-1]]),
        np.array([load.parameter_bytes / batch for load, batch in steps]),
    )


def _byte_factors(load: Load, rules: Rules) -> np.ndarray:
    """By how much rules change the counted bytes of norms in training, (operations,).

    Counted are a forward of 2 reads and 1 write, and a backward of 2 reads of two maps and 1 write;
    the published layer's backward reads 4 and writes 3, and its forward in evaluation 1 and 1.
    """
    passes, training = rules.norm_passes, load.phase == "training"
    factors: dict[str, float] = {}
    if training:
        factors = dict(zip(NORMS, ((passes + 1) / 3, (2 * passes + 1) / 5), strict=True))
    if rules.split_published:  # one more read and write of the map, and of its gradient
        factors |= dict(zip(PUBLISHED, (5 / 3, 10 / 7) if training else (2, 1), strict=True))
    return np.array([factors.get(name, 1.0) for name in load.names])


def operation_seconds(demand: Demand, rates: Rates) -> np.ndarray:
    """Seconds per image of each operation, (operations,), the slowdown of training included."""
    longest = np.maximum(_arithmetic_seconds(demand, rates), demand.moved / rates.bandwidth)
    longest = np.maximum(longest, rates.launch * demand.launches)
    return longest * np.where(demand.training, rates.slowdown, 1.0)


def _arithmetic_seconds(demand: Demand, rates: Rates) -> np.ndarray:
    depthwise = rates.depthwise or rates.arithmetic
    return demand.macs / np.where(demand.depthwise, depthwise, rates.arithmetic)


def image_seconds(demand: Demand, rates: Rates) -> np.ndarray:
    """Seconds per image of each network's step, (networks,)."""
    return np.add.reduceat(operation_seconds(demand, rates), demand.starts) + _own(demand, rates)


def _own(demand: Demand, rates: Rates) -> np.ndarray:
    """Seconds per image of the optimiser and of casts, (networks,)."""
    slowdown = np.where(demand.training[demand.starts], rates.slowdown, 1.0)
    return demand.parameter_bytes / rates.bandwidth * slowdown


def share_of_bytes(demand: Demand, rates: Rates) -> np.ndarray:
    """Share of each step's time that memory limits, (networks,): whose bytes are the longest."""
    moving = demand.moved / rates.bandwidth
    rest = np.maximum(_arithmetic_seconds(demand, rates), rates.launch * demand.launches)
    seconds = np.where(moving >= rest, operation_seconds(demand, rates), 0.0)
    limited = np.add.reduceat(seconds, demand.starts) + _own(demand, rates)
    return limited / image_seconds(demand, rates)

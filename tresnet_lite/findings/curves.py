"""Accuracy against speed: the front that nothing beats, and heights above a family's curve."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

FAMILIES = ("TResNet", "EfficientNet", "ResNet50 and others")


def family(network: str) -> str:
    """The family of a network, from its name as the paper prints it."""
    return next((name for name in FAMILIES[:2] if network.startswith(name)), FAMILIES[2])


def front(speeds: Sequence[float], top1: Sequence[float]) -> list[bool]:
    """Which points are on the Pareto front: no other is better in one and as good in the other."""
    points = list(zip(speeds, top1, strict=True))
    return [not any(s >= x and t >= y and (s, t) != (x, y) for s, t in points) for x, y in points]


def above(speed: float, top1: float, curve: Sequence[tuple[float, float]]) -> float:
    """How many points of top-1 a point lies above a curve (below: negative); NaN if not known.

    Args:
        curve: (speed, top-1) of the points that it joins, of which the front counts. Between two of
            them it is straight over the logarithm of the speed. Faster than the fastest of them it
            gets no better than that one. A point slower than the slowest lies below if it is less
            accurate, and else has no counterpart.
    """
    if not curve or not speed > 0:
        return float("nan")
    on_front = front(*zip(*curve, strict=True))
    points = sorted(point for point, on in zip(curve, on_front, strict=True) if on)
    speeds, heights = zip(*points, strict=True)
    gap = top1 - float(np.interp(np.log(speed), np.log(speeds), heights))
    return gap if speed >= speeds[0] or gap < 0 else float("nan")


def heights(lines: pd.DataFrame, *, slack: float = 1.0) -> pd.DataFrame:
    """The TResNets of some lines, with how far each lies `above` their EfficientNets' curve.

    Args:
        lines: with columns network, top1 and speed, of one run and phase.
        slack: how much slower the TResNets might be than they were measured, as a factor.
    """
    measured = lines.dropna(subset="speed")
    theirs = measured[measured["network"].map(family) == "EfficientNet"]
    ours = lines[lines["network"].map(family) == "TResNet"]
    curve = list(zip(theirs["speed"], theirs["top1"], strict=True))
    at = zip(ours["speed"] / slack, ours["top1"], strict=True)
    return ours.assign(above=[above(speed, top1, curve) for speed, top1 in at])

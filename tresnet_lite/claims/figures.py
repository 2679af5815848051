"""Checks of claims about Figures 4 and 5."""

from __future__ import annotations

import math

import pandas as pd

from tresnet_lite.bench.comparisons import ONE_PHASE
from tresnet_lite.claims.speed import judge_effect
from tresnet_lite.claims.verdict import (
    Verdict,
    inconclusive,
    judge,
    judge_interval,
    not_attempted,
)
from tresnet_lite.findings.curves import family, heights
from tresnet_lite.findings.figures import figure
from tresnet_lite.findings.ratios import SLACK, ratio_of
from tresnet_lite.findings.tables import PAPER_SIDE
from tresnet_lite.paper import paper_ratio
from tresnet_lite.records import Record


def above_curve(records: list[Record], *, number: int) -> list[Verdict]:
    """Does every TResNet lie above the EfficientNets' curve, however two processes may differ?"""
    verdicts = [judge_curve(lines, label) for label, lines in _runs(records, number)]
    return verdicts or [_no_runs(number)]


def judge_curve(lines: pd.DataFrame, label: str) -> Verdict:
    """The verdict on the lines of one run (network, resolution, top1 and speed)."""
    ours = heights(lines)
    gaps = ours["above"]
    counts = f"{(gaps > 0).sum()} of {len(ours)}, {gaps.min():+.1f} to {gaps.max():+.1f} points"
    figures = (f"{len(ours)} of {len(ours)}", counts, label)
    missing = _missing(lines)
    if (heights(lines, slack=1 / SLACK)["above"] < 0).any():
        below = [f"{_name(row)} ({row.above:+.2f})" for row in ours[gaps < 0].itertuples()]
        without = f"; without {missing}" if missing else ""
        why = f"below the curve, in points of top-1: {', '.join(below)}{without}"
        return judge(False, why, *figures)
    if gaps.isna().any() or _gap_in_curve(lines):
        return not_attempted(f"no records of {missing or 'slower EfficientNets'}", label=label)
    allowed = f"a factor of {SLACK:g} in speed is allowed for"
    if not (heights(lines, slack=SLACK)["above"] > 0).all():
        return inconclusive(f"too close to the curve for some: {allowed}", *figures)
    return judge(True, f"every one above the curve, where {allowed}", *figures)


def overtakes(
    records: list[Record],
    *,
    number: int,
    point: dict[str, object],
    base: dict[str, object],
    paper: dict | None = None,
    tolerance: float = 0.0,
) -> list[Verdict]:
    """Is a network of a figure faster than another, or by as much as printed?

    Args:
        point, base: network and resolution.
        paper: `cell` and `base_cell`, whose ratio it should be; `tolerance` is a share of the
            ratio's logarithm.
    """
    verdicts = []
    for label, lines in _runs(records, number):
        keyed = lines.set_index(["network", "resolution"])
        a, b = (keyed.loc[side["network"], side["resolution"]] for side in (point, base))
        if not (a.speed > 0 and b.speed > 0):
            names = (f"{side['network']} at {side['resolution']} px" for side in (point, base))
            verdicts.append(not_attempted(f"no records of {' or '.join(names)}", label=label))
        else:
            ratio = ratio_of(a["repeats"], b["repeats"])
            printed = paper and paper_ratio(**paper)
            verdicts.append(
                judge_effect(ratio, printed, tolerance)
                if printed
                else judge_interval(ratio, 1, math.inf, "> 1×")
            )
    return verdicts or [_no_runs(number)]


def _runs(records: list[Record], number: int) -> list[tuple[str, pd.DataFrame]]:
    """For each run at the paper's resolutions its label and lines."""
    frame = figure(number, records)
    runs = frame[frame["side"] == PAPER_SIDE].groupby("run", sort=False)
    return [(lines["label"].iloc[0], lines) for _, lines in runs]


def _no_runs(number: int) -> Verdict:
    needs = f"Figure {number}'s networks, {ONE_PHASE[f'figure{number}']}, each at its own size"
    return not_attempted(f"no records; needs {needs}")


def _name(row: object) -> str:
    return f"{row.network} at {row.resolution} px"


def _missing(lines: pd.DataFrame) -> str:
    """The networks without records, or how many they are; "" for none."""
    names = [_name(row) for row in lines[lines["speed"].isna()].itertuples()]
    many = f"{len(names)} of the figure's {len(lines)} networks"
    return ", ".join(names) if len(names) <= 4 else many


def _gap_in_curve(lines: pd.DataFrame) -> bool:
    """Is an EfficientNet missing below one that was measured? The curve may be too low there."""
    theirs = lines[lines["network"].map(family) == "EfficientNet"].sort_values("resolution")
    measured = theirs["speed"].notna().tolist()
    return measured != sorted(measured, reverse=True)

"""Checks of claims about Figures 4 and 5."""

from __future__ import annotations

import pandas as pd

from tresnet_lite.bench.suites import ONE_PHASE
from tresnet_lite.claims.verdict import NOT_ATTEMPTED, Verdict, judge, not_attempted
from tresnet_lite.findings.curves import family, heights
from tresnet_lite.findings.figures import figure
from tresnet_lite.findings.tables import PAPER_SIDE
from tresnet_lite.paper import paper_ratio
from tresnet_lite.records import Record


def above_curve(records: list[Record], *, number: int) -> list[Verdict]:
    """Does every TResNet lie above the EfficientNets' curve, wherever quartiles put the two?"""
    verdicts = [judge_curve(lines, label) for label, lines in _runs(records, number)]
    return verdicts or [_no_runs(number)]


def judge_curve(lines: pd.DataFrame, label: str) -> Verdict:
    """The verdict on the lines of one run (network, resolution, top1, speed, q1 and q3)."""
    ours = heights(lines)
    gaps = ours["above"]
    counts = f"{(gaps > 0).sum()} of {len(ours)}, {gaps.min():+.1f} to {gaps.max():+.1f} points"
    figures = (f"{len(ours)} of {len(ours)}", counts, label)
    missing = _missing(lines)
    if (gaps < 0).any():
        below = [f"{_name(row)} ({row.above:+.2f})" for row in ours[gaps < 0].itertuples()]
        without = f"; without {missing}" if missing else ""
        why = f"below the curve, in points of top-1: {', '.join(below)}{without}"
        return judge(False, why, *figures)
    if gaps.isna().any() or _gap_in_curve(lines):
        return not_attempted(f"no records of {missing or 'slower EfficientNets'}", label=label)
    if (heights(lines, cautious=True)["above"] <= 0).any():
        why = "too noisy to tell: a TResNet and the curve lie within their quartiles"
        return Verdict(NOT_ATTEMPTED, why, *figures)
    return judge(True, "every one above the curve, by more than the quartiles", *figures)


def overtakes(
    records: list[Record],
    *,
    number: int,
    point: dict[str, object],
    base: dict[str, object],
    paper: dict | None = None,
    tolerance: float = 0.0,
) -> list[Verdict]:
    """Is a network of a figure faster than another, beyond the quartiles or as much as printed?

    Args:
        point, base: network and resolution.
        paper: `cell` and `base_cell`, whose ratio it should be, to a relative `tolerance`.
    """
    verdicts = []
    for label, lines in _runs(records, number):
        keyed = lines.set_index(["network", "resolution"])
        a, b = (keyed.loc[side["network"], side["resolution"]] for side in (point, base))
        if not (a.speed > 0 and b.speed > 0):
            names = (f"{side['network']} at {side['resolution']} px" for side in (point, base))
            verdicts.append(not_attempted(f"no records of {' or '.join(names)}", label=label))
        elif paper:
            verdicts.append(_as_printed(a.speed / b.speed, paper_ratio(**paper), tolerance, label))
        else:
            good = a.q1 > b.q3
            why = f"{'faster, by more than' if good else 'not faster beyond'} the spread of both"
            verdicts.append(judge(good, why, "> 1×", f"{a.speed / b.speed:.3g}×", label))
    return verdicts or [_no_runs(number)]


def _as_printed(ratio: float, printed: float, tolerance: float, label: str) -> Verdict:
    off = ratio / printed - 1
    why = f"{off:+.0%} from the paper's figure (tolerance {tolerance:.0%})"
    return judge(abs(off) <= tolerance, why, f"{printed:.1f}×", f"{ratio:.3g}×", label)


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

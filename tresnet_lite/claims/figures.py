"""Checks of claims about Figures 4 and 5 (see `claims`, which calls them by name)."""

from __future__ import annotations

import pandas as pd

from tresnet_lite.bench.suites import ONE_PHASE
from tresnet_lite.claims.verdict import DIFFERS, NOT_ATTEMPTED, REPRODUCED, Verdict
from tresnet_lite.findings.curves import family, heights
from tresnet_lite.findings.figures import figure
from tresnet_lite.findings.tables import PAPER_SIDE
from tresnet_lite.paper import paper_value
from tresnet_lite.records import Record


def above_curve(records: list[Record], *, number: int) -> list[Verdict]:
    """Does every TResNet of a figure lie above the EfficientNets' curve, wherever quartiles put the
    two?
    """
    verdicts = [judge_curve(lines, label) for label, lines in _runs(records, number)]
    return verdicts or [_nothing(number)]


def judge_curve(lines: pd.DataFrame, label: str) -> Verdict:
    """The verdict on one run's lines, which have the columns network, resolution, top1, speed, q1
    and q3.
    """
    ours = heights(lines)
    gaps = ours["above"]
    told = f"{(gaps > 0).sum()} of {len(ours)}, {gaps.min():+.1f} to {gaps.max():+.1f} points"
    asked = {"paper": f"{len(ours)} of {len(ours)}", "ours": told, "label": label}
    below = [f"{_name(row)} ({row.above:+.2f})" for row in ours[ours["above"] < 0].itertuples()]
    missing = _missing(lines)
    if below:
        without = f"; without {_told(missing, lines)}" if missing else ""
        return Verdict(
            DIFFERS, f"below the curve, in points of top-1: {', '.join(below)}{without}", **asked
        )
    if ours["above"].isna().any() or _gap_in_curve(lines):
        return Verdict(
            NOT_ATTEMPTED,
            f"no records of {_told(missing, lines) or 'slower EfficientNets'}",
            label=label,
        )
    if (heights(lines, cautious=True)["above"] <= 0).any():
        return Verdict(
            NOT_ATTEMPTED,
            "too noisy to tell: a TResNet and the curve lie within their quartiles",
            **asked,
        )
    return Verdict(REPRODUCED, "every one above the curve, by more than the quartiles", **asked)


def overtakes(
    records: list[Record],
    *,
    number: int,
    of: dict[str, object],
    than: dict[str, object],
    paper: dict | None = None,
    tolerance: float = 0.0,
) -> list[Verdict]:
    """Is one network of a figure faster than another, beyond the quartiles; or, with `paper`, as
    much as it prints?

    Args:
        of, than: network and resolution.
        paper: the two cells (`of` and `to`) whose ratio it should be, to a relative `tolerance`.
    """
    verdicts = []
    for label, lines in _runs(records, number):
        keyed = lines.set_index(["network", "resolution"])
        a, b = (keyed.loc[side["network"], side["resolution"]] for side in (of, than))
        absent = [
            _name(row)
            for row in lines.itertuples()
            if (row.network, row.resolution) in (a.name, b.name)
        ]
        if not (a.speed > 0 and b.speed > 0):
            verdicts.append(
                Verdict(NOT_ATTEMPTED, f"no records of {' or '.join(absent)}", label=label)
            )
            continue
        ratio = a.speed / b.speed
        if paper:
            printed = paper_value(**paper["of"]) / paper_value(**paper["to"])
            off = ratio / printed - 1
            good, least = abs(off) <= tolerance, f"{printed:.1f}×"
            why = f"{off:+.0%} from the paper's figure (tolerance {tolerance:.0%})"
        else:
            good, least = a.q1 > b.q3, "> 1×"
            why = (
                "faster, by more than the spread of both"
                if good
                else "not faster beyond the spread of both"
            )
        verdicts.append(
            Verdict(REPRODUCED if good else DIFFERS, why, least, f"{ratio:.3g}×", label)
        )
    return verdicts or [_nothing(number)]


def _runs(records: list[Record], number: int) -> list[tuple[str, pd.DataFrame]]:
    """For each run at the paper's resolutions its label and lines."""
    frame = figure(number, records)
    frame = frame[frame["side"] == PAPER_SIDE]
    return [(lines["label"].iloc[0], lines) for _, lines in frame.groupby("run", sort=False)]


def _nothing(number: int) -> Verdict:
    phase = ONE_PHASE[f"figure{number}"]
    return Verdict(
        NOT_ATTEMPTED,
        f"no records; needs Figure {number}'s networks, {phase}, each at its own size",
    )


def _name(row: object) -> str:
    return f"{row.network} at {row.resolution} px"


def _missing(lines: pd.DataFrame) -> list[str]:
    return [_name(row) for row in lines[lines["speed"].isna()].itertuples()]


def _told(missing: list[str], lines: pd.DataFrame) -> str:
    return (
        ", ".join(missing)
        if len(missing) <= 4
        else f"{len(missing)} of the figure's {len(lines)} networks"
    )


def _gap_in_curve(lines: pd.DataFrame) -> bool:
    """Is an EfficientNet missing that is smaller than one that was measured? Then the curve may run
    too low there.
    """
    theirs = lines[lines["network"].map(family) == "EfficientNet"].sort_values("resolution")
    had = theirs["speed"].notna().tolist()
    return had != sorted(had, reverse=True)

"""What a check answers: a verdict, why, and the two figures behind it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from tresnet_lite import __version__
from tresnet_lite.findings.ratios import Ratio

REPRODUCED, DIFFERS = "reproduced", "differs"
INCONCLUSIVE, NOT_ATTEMPTED = "inconclusive", "not attempted"
WORDS = (REPRODUCED, DIFFERS, INCONCLUSIVE, NOT_ATTEMPTED)
BY_COUNTING = f"counted (tresnet_lite {__version__})"  # the label of what needs no record


@dataclass(frozen=True)
class Verdict:
    """The verdict in words, why, the paper's figure, ours, and where ours comes from."""

    word: Literal["reproduced", "differs", "inconclusive", "not attempted"]
    why: str
    paper: str = ""
    ours: str = ""
    label: str = ""


def judge(good: bool, why: str, paper: str, ours: str, label: str) -> Verdict:
    """The paper's claim holds, or does not, by figures of this label."""
    return Verdict(REPRODUCED if good else DIFFERS, why, paper, ours, label)


def counted(good: bool, why: str, paper: str, ours: str) -> Verdict:
    """The paper's claim holds, or does not, by counting."""
    return judge(good, why, paper, ours, BY_COUNTING)


def not_attempted(why: str, paper: str = "", label: str = "") -> Verdict:
    """Nothing can judge the claim here; `label` names the records that do not suffice."""
    return Verdict(NOT_ATTEMPTED, why, paper, label=label)


def near(ours: float, paper: float, tolerance: float) -> tuple[bool, str]:
    """Do two figures agree to a relative tolerance? And the sentence that says so."""
    off = ours / paper - 1
    return abs(off) <= tolerance, f"{off:+.1%} from the paper's figure (tolerance {tolerance:.2%})"


def inconclusive(why: str, paper: str, ours: str, label: str) -> Verdict:
    """It was measured, and what was measured does not tell."""
    return Verdict(INCONCLUSIVE, why, paper, ours, label)


def judge_interval(ratio: Ratio, low: float, high: float, paper: str) -> Verdict:
    """Does a measured ratio lie between two thresholds? No verdict where its interval holds one."""
    figures = (paper, ratio.text, ratio.record.label)
    inside = low <= ratio.low and ratio.high <= high
    if not inside and ratio.low <= high and low <= ratio.high:
        limits = [f"{limit:.3g}×" for limit in (low, high) if ratio.low <= limit <= ratio.high]
        why = f"the interval holds {' and '.join(limits)} ({ratio.method})"
        return inconclusive(why, *figures)
    bounds = f"{low:.3f}–{high:.3f}×" if math.isfinite(high) and low else ""
    bounds = bounds or (f"over {low:.3g}×" if low else f"under {high:.3g}×")
    word = "within" if inside else "outside of"
    return judge(inside, f"{word} {bounds} ({ratio.method})", *figures)


def span(ratios: Iterable[float]) -> str:
    """The smallest and the largest of some ratios: "1.20–1.35×"."""
    ratios = list(ratios)
    return f"{min(ratios):.2f}–{max(ratios):.2f}×"

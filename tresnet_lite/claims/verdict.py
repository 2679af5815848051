"""What a check answers: a verdict, why, and the two figures behind it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from tresnet_lite import __version__

REPRODUCED, DIFFERS, NOT_ATTEMPTED = "reproduced", "differs", "not attempted"
BY_COUNTING = f"counted (tresnet_lite {__version__})"  # the label of what needs no record


@dataclass(frozen=True)
class Verdict:
    """The verdict in words, why, the paper's figure, ours, and where ours comes from."""

    word: Literal["reproduced", "differs", "not attempted"]
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


def judge_ratio(ratio: float, printed: float, tolerance: float, label: str) -> Verdict:
    """Is a measured ratio the paper's, to a relative tolerance?"""
    good, why = near(ratio, printed, tolerance)
    return judge(good, why, f"{printed:.3f}×", f"{ratio:.3f}×", label)


def span(ratios: Iterable[float]) -> str:
    """The smallest and the largest of some ratios: "1.20–1.35×"."""
    ratios = list(ratios)
    return f"{min(ratios):.2f}–{max(ratios):.2f}×"

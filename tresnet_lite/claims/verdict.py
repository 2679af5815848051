"""What a check answers: a verdict, why, and the two figures behind it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal, get_args

from tresnet_lite import __version__
from tresnet_lite.findings.ratios import Ratio

Word = Literal[
    "reproduced",
    "differs",
    "holds here",
    "does not hold here",
    "inconclusive",
    "not attempted",
]
REPRODUCED: Word = "reproduced"
DIFFERS: Word = "differs"
# Of what the paper says about GPUs, on a CPU: this judges the CPU, and not the paper.
HOLDS_HERE: Word = "holds here"
FAILS_HERE: Word = "does not hold here"
INCONCLUSIVE: Word = "inconclusive"
NOT_ATTEMPTED: Word = "not attempted"
WORDS: tuple[Word, ...] = get_args(Word)
OTHER_LAYER = "with this package's Inplace-ABN, on PyTorch's kernels, not the published CUDA one"
BY_COUNTING = f"counted (tresnet_lite {__version__})"  # the label of what needs no record


@dataclass(frozen=True)
class Verdict:
    """The verdict in words, why, the paper's figure, ours, and where ours comes from."""

    word: Word
    why: str
    paper: str = ""
    ours: str = ""
    label: str = ""


def on_a_cpu(verdict: Verdict) -> Verdict:
    """The verdict in a CPU's words, where the paper speaks of GPUs."""
    words = {REPRODUCED: HOLDS_HERE, DIFFERS: FAILS_HERE}
    return replace(verdict, word=words.get(verdict.word, verdict.word))


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
    """Does a measured ratio lie between two thresholds? No verdict where its interval holds one.

    Nor is there one on a GPU, where one of the two has this package's Inplace-ABN and the other
    has BatchNorm: the paper speaks of another implementation of that layer, in CUDA.
    """
    figures = (paper, ratio.text, ratio.record.label)
    if ratio.other_layer:
        return inconclusive(f"{OTHER_LAYER} ({ratio.method})", *figures)
    inside = low <= ratio.low and ratio.high <= high
    if not inside and ratio.low <= high and low <= ratio.high:
        limits = [f"{limit:.3g}×" for limit in (low, high) if ratio.low <= limit <= ratio.high]
        why = f"the interval holds {' and '.join(limits)} ({ratio.method})"
        return inconclusive(why, *figures)
    if math.isinf(high):
        bounds = f"{'above' if inside else 'below'} {low:.3g}×"
    else:
        bounds = f"{'within' if inside else 'outside of'} {low:.3f}–{high:.3f}×"
    return judge(inside, f"{bounds} ({ratio.method})", *figures)


def span(ratios: Iterable[float]) -> str:
    """The smallest and the largest of some ratios: "1.20–1.35×"."""
    ratios = list(ratios)
    return f"{min(ratios):.2f}–{max(ratios):.2f}×"

"""What a check answers: a verdict, why, and the two figures behind it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tresnet_lite import __version__

REPRODUCED, DIFFERS, NOT_ATTEMPTED = "reproduced", "differs", "not attempted"


QUIET = 0.02  # quartiles this close, and two overlapping speeds are the same speed


COUNTED = f"counted (tresnet_lite {__version__})"


@dataclass(frozen=True)
class Verdict:
    """What a check found: the verdict in words, why, the paper's figure, ours and where ours comes
    from.
    """

    word: Literal["reproduced", "differs", "not attempted"]
    why: str
    paper: str = ""
    ours: str = ""
    label: str = ""


def judge(good: bool) -> Literal["reproduced", "differs"]:
    return REPRODUCED if good else DIFFERS


def near(ours: float, paper: float, tolerance: float) -> tuple[bool, str]:
    """Do two figures agree to a relative tolerance? And the sentence that says so."""
    off = ours / paper - 1
    return abs(off) <= tolerance, f"{off:+.1%} from the paper's figure (tolerance {tolerance:.2%})"

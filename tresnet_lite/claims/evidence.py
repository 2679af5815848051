"""What is known of a claim about speed without a GPU of ours: a word and figures.

`predicted` has what counting says of the paper's V100, `published` what others measured on theirs.
Neither judges a claim: only a measurement on a GPU does that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Word = Literal["holds", "fails", "undecided", "depends"]
HOLDS: Word = "holds"
FAILS: Word = "fails"
UNDECIDED: Word = "undecided"  # the interval of what is predicted contains the threshold
DEPENDS: Word = "depends"  # it holds on some GPUs, or in some ways of running
WORDS: tuple[Word, ...] = get_args(Word)
SHOWN = 3  # ratios, or ways of running, that a text names


@dataclass(frozen=True)
class Evidence:
    """A word, the figures in short, and where they come from."""

    word: Word
    figures: str
    source: str


def shortened(texts: list[str], separator: str = "; ") -> str:
    """The first of some texts, and how many more there are."""
    more = f" and {len(texts) - SHOWN} more" if len(texts) > SHOWN else ""
    return separator.join(texts[:SHOWN]) + more

"""An accuracy with its interval, and how published weights and their records are named."""

from __future__ import annotations

from dataclasses import dataclass

from scipy.stats import binomtest

from tresnet_lite.paper import NAMES, paper_table
from tresnet_lite.records import Record

SUITE, IMAGENET = "accuracy", "ImageNet validation"
TAG = "miil_in1k"  # of the paper's weights in timm; with _448 those fine-tuned at 448 px
SQUASHED = 448  # pixels from which on the authors squash the image instead of cropping it


@dataclass(frozen=True)
class Accuracy:
    """So many right of so many images."""

    right: int
    images: int

    @property
    def percent(self) -> float:
        return 100 * self.right / self.images

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Wilson's interval, in per cent, for the accuracy on arbitrarily many such images."""
        ends = binomtest(self.right, self.images).proportion_ci(confidence, "wilson")
        return min(100 * float(ends.low), self.percent), max(100 * float(ends.high), self.percent)

    def __str__(self) -> str:
        low, high = self.interval()
        return f"{self.percent:.2f} % ({low:.2f}–{high:.2f})"


def of_record(record: Record) -> Accuracy:
    """The accuracy that a record of the suite "accuracy" holds."""
    images = record.value.repeats
    return Accuracy(round(record.value.median * images / 100), images)


def weights_of(model: str, resolution: int) -> str:
    """How records name the paper's weights: "tresnet_m.miil_in1k_448"."""
    return f"{model}.{TAG}" + ("_448" if resolution >= SQUASHED else "")


def protocol_of(resolution: int) -> str:
    """How the authors brought images to size for the accuracies that they print."""
    return "squash" if resolution >= SQUASHED else "crop"


def printed_top1(name: str, resolution: int, case: str) -> float | None:
    """What Table 5 prints for published weights in a record's case, in per cent, or None."""
    if case != f"{IMAGENET}, {protocol_of(resolution)}":
        return None
    for row in paper_table(5).itertuples():
        weights = (weights_of(our_name(row.model), row.resolution), row.resolution)
        if weights == (name, resolution):
            return float(row.top1)
    return None


def our_name(printed: str) -> str:
    return {theirs: ours for ours, theirs in NAMES.items()}[printed]

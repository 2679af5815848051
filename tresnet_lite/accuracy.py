"""The accuracies of Tables 3 and 5 beside those measured with the published weights, and checks of
claims about them.

The records are those of `python -m tresnet_lite.evaluate` on ImageNet's validation images (suite
"accuracy").
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tresnet_lite.bench import Record, latest
from tresnet_lite.claims import DIFFERS, NOT_ATTEMPTED, REPRODUCED, Verdict, label
from tresnet_lite.paper import NAMES, paper_table, paper_value

if TYPE_CHECKING:
    import pandas as pd

SUITE, IMAGENET = "accuracy", "ImageNet validation"
TAG = (  # of the paper's weights, as timm names them; with _448 those fine-tuned at 448 px
    "miil_in1k"
)
SQUASHED = 448  # pixels from which on the authors squash the image instead of cropping it
COMMAND = "python -m tresnet_lite.evaluate --table {table} --data IMAGENET"

# Columns for `notebook.table`.
COLUMNS = {
    "network|network": "",
    "pixels|resolution": "d",
    "brought to size by|protocol": "",
    "paper, top-1 %|paper": ".1f",
    "measured, top-1 %|top1": ".2f",
    "from|low": ".2f",
    "to|high": ".2f",
    "top-5 %|top5": ".2f",
    "where|source": "",
}


@dataclass(frozen=True)
class Accuracy:
    """So many right of so many images."""

    right: int
    images: int

    @property
    def percent(self) -> float:
        return 100 * self.right / self.images

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Wilson's interval, in per cent: where the accuracy on ever more such images lies."""
        from scipy.stats import binomtest  # comes with scikit-learn

        found = binomtest(self.right, self.images).proportion_ci(confidence, "wilson")
        return min(100 * float(found.low), self.percent), max(100 * float(found.high), self.percent)

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
    """What Table 5 prints for published weights in a record's case, in per cent; None where it
    prints nothing.
    """
    for row in paper_table(5).itertuples():
        same = weights_of(_ours(row.model), row.resolution) == name and row.resolution == resolution
        if same and case == f"{IMAGENET}, {protocol_of(resolution)}":
            return float(row.top1)
    return None


def _ours(printed: str) -> str:
    return {theirs: ours for ours, theirs in NAMES.items()}[printed]


def beside_paper(records: Iterable[Record], table: int) -> pd.DataFrame:
    """The accuracies that Table 3 or 5 prints, beside measured ones; for Table 5 also the crop at
    448.

    Columns: network, resolution, protocol, paper (NaN for the crop at 448), top1, low and high (95
    %), top5, source.
    """
    import pandas as pd

    records = latest(records)
    rows = []
    for printed in paper_table(table).to_dict("records"):
        size = printed.get("resolution", 224)
        for protocol in dict.fromkeys((protocol_of(size), *(["crop"] if size >= SQUASHED else []))):
            paper = printed["top1"] if protocol == protocol_of(size) else None
            row = {
                "network": printed["model"],
                "resolution": size,
                "protocol": protocol,
                "paper": paper,
            }
            found = _records(records, _ours(printed["model"]), size, protocol)
            missing = {"source": "not attempted: " + _why_not(_ours(printed["model"]))}
            rows += [row | _numbers(of_device) for of_device in found.values()] or [row | missing]
    columns = [
        "network",
        "resolution",
        "protocol",
        "paper",
        "top1",
        "low",
        "high",
        "top5",
        "source",
    ]
    return pd.DataFrame(rows).reindex(columns=columns)


def _records(
    records: Iterable[Record], model: str, size: int, protocol: str
) -> dict[str, dict[str, Record]]:
    """Device → metric → the last record of the paper's weights, whatever the batch and the
    precision.
    """
    found: dict[str, dict[str, Record]] = {}
    case = f"{IMAGENET}, {protocol}"
    for r in records:
        if (r.suite, r.case, r.model) == (
            SUITE,
            case,
            weights_of(model, size),
        ) and r.conditions.resolution == size:
            found.setdefault(r.provenance.device, {})[r.metric] = r
    return {device: of_device for device, of_device in found.items() if "top1" in of_device}


def _numbers(found: dict[str, Record]) -> dict[str, object]:
    top1 = found["top1"]
    low, high = of_record(top1).interval()
    numbers = {"top1": top1.value.median, "low": low, "high": high, "source": label(top1)}
    return numbers | ({"top5": found["top5"].value.median} if "top5" in found else {})


def _why_not(model: str, table: int | None = None) -> str:
    """What stands in the way of a measured accuracy, and the command that makes the records of a
    table.
    """
    if model == "resnet50":
        return "the authors' ResNet50 is not published"
    return "no records" + (f"; {COMMAND.format(table=table)} makes them" if table else "")


def published_accuracy(
    records: list[Record], *, model: str, table: int, tolerance: float, resolution: int = 224
) -> list[Verdict]:
    """Do the published weights reach the top-1 that a table prints, up to `tolerance` points?

    The weights and the images are the authors' own, so sampling plays no part: what may differ is
    the rounding of the printed figure (0.05), and how images are decoded and resized.
    """
    where = {"model": NAMES[model]} | ({"resolution": resolution} if table == 5 else {})
    printed = float(paper_value(table, "top1", **where))
    verdicts = []
    for found in _records(latest(records), model, resolution, protocol_of(resolution)).values():
        r = found["top1"]
        off = r.value.median - printed
        why = f"{off:+.2f} points on {r.value.repeats:,} images (tolerance {tolerance:g})"
        good = abs(off) <= tolerance
        ours = f"{r.value.median:.2f} %"
        verdicts.append(
            Verdict(REPRODUCED if good else DIFFERS, why, f"{printed:.1f} %", ours, label(r))
        )
    return verdicts or [Verdict(NOT_ATTEMPTED, _why_not(model, table), f"{printed:.1f} %")]


def published_gain(records: list[Record], *, model: str, sizes: list[int]) -> list[Verdict]:
    """Are the published weights of the larger size more accurate than those of the smaller, beyond
    both intervals?
    """
    printed = paper_table(5).query("model == @NAMES[@model]").set_index("resolution")["top1"]
    said = f"{printed[sizes[1]] - printed[sizes[0]]:+.1f} points"
    small, large = (_records(latest(records), model, size, protocol_of(size)) for size in sizes)
    verdicts = []
    for device in small.keys() & large.keys():
        a, b = small[device]["top1"], large[device]["top1"]
        (_, upper), (lower, _) = of_record(a).interval(), of_record(b).interval()
        why = (
            f"{a.value.median:.2f} % at {sizes[0]} px, {b.value.median:.2f} % at {sizes[1]} px, 95"
            " % intervals"
        )
        why += " apart" if lower > upper else " not apart"
        gain = f"{b.value.median - a.value.median:+.2f} points"
        verdicts.append(
            Verdict(REPRODUCED if lower > upper else DIFFERS, why, said, gain, label(b))
        )
    return verdicts or [Verdict(NOT_ATTEMPTED, _why_not(model, 5), said)]

"""Records and the paper's tables → DataFrames; the claims ledger and the README's table on the
command line.

    python -m tresnet_lite.report claims     the ledger, one line a claim and device
    python -m tresnet_lite.report readme     the results table of the README, in Markdown

Numbers carry one of these labels: measured (device, date, commit), counted (package version),
quoted (source), not attempted (why). Nothing is measured here.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from tresnet_lite import create_model
from tresnet_lite.bench import Record, RecordError, count_macs, count_parameters, latest, load, pair
from tresnet_lite.claims import COUNTED, DIFFERS, NOT_ATTEMPTED, REPRODUCED, label, ledger
from tresnet_lite.paper import DATA, NAMES, paper_table, paper_value

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "claims",
    "committed_records",
    "paper_table",
    "paper_value",
    "records",
    "sizes",
    "stem_table",
]

RECORDS = (  # environment: a file or folder of records besides the committed ones
    "TRESNET_LITE_RECORDS"
)

# Suite "stem", case "resnet50": ResNet50 with each of three stems → where the paper prints its
# speed. For ResNet50-D that is the whole network; the paper puts its loss in training speed down to
# the stem (§2.1).
STEMS = {
    "conv7x7": {"table": 1, "model": "ResNet50"},
    "resnet_d": {"table": 1, "model": "ResNet50-D"},
    "space_to_depth": {"table": 4, "refinement": "+ Stem → SpaceToDepth"},
}


def committed_records() -> list[Record]:
    """The records under `data/measured`, the latest of each case."""
    return latest(load(DATA / "measured"))


def records() -> list[Record]:
    """The committed records and those of this machine (`TRESNET_LITE_RECORDS`), the latest of each
    case.
    """
    own = os.environ.get(RECORDS)
    return latest(load(DATA / "measured", *([own] if own and Path(own).exists() else [])))


def claims(measured: Iterable[Record] | None = None) -> pd.DataFrame:
    """The claims ledger (`tresnet_lite.claims.ledger`) on the given records, or on all there
    are.
    """
    return ledger(records() if measured is None else measured)


def stem_table(measured: Iterable[Record]) -> pd.DataFrame:
    """Speeds of ResNet50 with each of three stems: the paper's, measured ones, and both as ratios
    to 7×7.

    One row for each stem, phase and way of running that was measured, or one without measurement.
    Speeds in images a second; a speed that the paper does not print is NaN.
    """
    import pandas as pd

    rows = []
    for phase in ("inference", "training"):
        base = _paper_speed("conv7x7", phase)
        for stem in STEMS:
            printed = _paper_speed(stem, phase)
            quoted = {"stem": stem, "phase": phase, "paper": printed, "paper_ratio": printed / base}
            pairs = pair(measured, stem, "conv7x7", suite="stem", case="resnet50", phase=phase)
            found = [_measured_columns(a, a.value.median / b.value.median) for a, b in pairs]
            rows += [
                quoted | columns for columns in found or [{"label": "not attempted (no records)"}]
            ]
    return pd.DataFrame(rows).reindex(columns=["stem", "phase", "paper", "paper_ratio", *_MEASURED])


_MEASURED = [
    "measured",
    "q1",
    "q3",
    "ratio",
    "batch",
    "resolution",
    "dtype",
    "memory_format",
    "device",
    "label",
]


def _measured_columns(record: Record, ratio: float) -> dict[str, object]:
    v, c = record.value, record.conditions
    numbers = {"measured": v.median, "q1": v.q1, "q3": v.q3, "ratio": ratio}
    ran = {
        "batch": c.batch,
        "resolution": c.resolution,
        "dtype": c.dtype,
        "memory_format": c.memory_format,
    }
    return numbers | ran | {"device": record.provenance.device, "label": label(record)}


def _paper_speed(stem: str, phase: str) -> float:
    """The paper's speed of ResNet50 with a stem, NaN where it prints none (Table 4 has no
    training).
    """
    column = f"{phase}_img_s"
    if column not in paper_table(STEMS[stem]["table"]):
        return float("nan")
    return float(paper_value(column=column, **STEMS[stem]))


def sizes() -> pd.DataFrame:
    """Parameters (millions), multiply-accumulates (thousand millions, 224 px): counted, and the
    paper's.
    """
    import pandas as pd

    rows = []
    for name, printed in NAMES.items():
        with torch.device("meta"):
            full, headless = create_model(name), create_model(name, num_classes=0)
        rows.append(
            {
                "model": printed,
                "parameters": count_parameters(full) / 1e6,
                "without_classifier": count_parameters(headless) / 1e6,
                "paper_parameters": _printed(2, "params_m", printed, layer="#Params."),
                "macs": count_macs(full) / 1e9,
                "paper_macs": _printed(1, "flops_g", printed),
            }
        )
    return pd.DataFrame(rows)


def _printed(table: int, column: str, model: str, **where: str) -> float:
    """A cell of the paper, NaN where the table leaves the model out."""
    if model not in set(paper_table(table)["model"]):
        return float("nan")
    return float(paper_value(table, column, model=model, **where))


def markdown(table: pd.DataFrame, formats: Mapping[str, str]) -> str:
    """A Markdown table of the columns that `formats` names ("heading|column" → number format)."""
    import pandas as pd

    headings, columns = zip(*(key.split("|") for key in formats), strict=True)
    lines = [headings, ["---"] * len(headings)]
    for _, row in table.iterrows():
        cells = zip((row[c] for c in columns), formats.values(), strict=True)
        lines.append(["–" if pd.isna(value) else format(value, spec) for value, spec in cells])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def readme() -> str:
    """The README's results: sizes by counting, and the stem's speeds once records are committed."""
    parts = [
        markdown(
            sizes(),
            {
                "Model|model": "",
                "Parameters, M|parameters": ".3f",
                "without classifier|without_classifier": ".3f",
                "paper, M|paper_parameters": ".1f",
                "MACs at 224 px, G|macs": ".3f",
                "paper, G|paper_macs": ".1f",
            },
        ),
        f"Ours: {COUNTED}. Paper: quoted (Tables 1 and 2).",
    ]
    stems = stem_table(committed_records()).dropna(subset="measured")
    if len(stems):
        parts += [_stem_markdown(stems), "Paper: quoted (Tables 1 and 4; V100, mixed precision)."]
    return "\n\n".join(parts)


def _stem_markdown(stems: pd.DataFrame) -> str:
    formats = {
        "Stem of ResNet50|stem": "",
        "Phase|phase": "",
        "paper, img/s|paper": ".0f",
        "to 7×7|paper_ratio": ".3f",
        "measured, img/s|measured": ".4g",
        "to 7×7|ratio": ".3f",
        "where|label": "",
    }
    return markdown(stems, formats)


def ledger_lines(table: pd.DataFrame) -> list[str]:
    """The ledger as text: a line for each claim and device, and a last one that sums up."""
    lines = []
    for row in table.itertuples():
        figures = f"{row.ours} (paper {row.paper}), " if row.ours else ""
        source = f" [{row.label}]" if row.label else ""
        lines.append(f"{row.verdict:<13}  {row.id:<28}  {row.section}: {figures}{row.why}{source}")
    counts = Counter(table["verdict"])
    summed = ", ".join(f"{word} {counts[word]}" for word in (REPRODUCED, DIFFERS, NOT_ATTEMPTED))
    return [*lines, f"{table['id'].nunique()} claims, {len(table)} verdicts: {summed}"]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tresnet_lite.report", description="Print what was found."
    )
    parser.add_argument(
        "what", choices=("claims", "readme"), help="the claims ledger, or the README's results"
    )
    what = parser.parse_args(arguments).what
    try:
        print("\n".join(ledger_lines(claims())) if what == "claims" else readme())
    except (RecordError, FileNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

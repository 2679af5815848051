"""The paper's printed numbers, read from `data/paper` (one CSV file per table).

Paper: TResNet: High Performance GPU-Dedicated Architecture, Ridnik et al., 2021,
https://arxiv.org/abs/2003.13630
"""

from __future__ import annotations

import pandas as pd

from tresnet_lite.checkout import DATA

TABLES = (1, 2, 3, 4, 5, 6, 8, 9)  # the paper has no Table 7
NAMES = {  # ours → the paper's
    "resnet50": "ResNet50",
    "tresnet_m": "TResNet-M",
    "tresnet_l": "TResNet-L",
    "tresnet_xl": "TResNet-XL",
}
NETWORKS = NAMES | {  # timm's of Table 1 too
    "resnet50d": "ResNet50-D",
    "resnext50_32x4d": "ResNeXt50",
    "efficientnet_b1": "EfficientNetB1",
    "seresnext50_32x4d": "SEResNeXt50",
    "mixnet_l": "MixNet-L",
}
MODELS = {printed: model for model, printed in NETWORKS.items()}


def paper_table(number: int) -> pd.DataFrame:
    """A table of the paper, with its own names; `data/paper/README.md` explains the columns.

    Raises:
        ValueError: the paper has no such table.
        FileNotFoundError: the package is not in a checkout, which holds the data.
    """
    if number not in TABLES:
        raise ValueError(f"the paper has no Table {number}; it has {', '.join(map(str, TABLES))}")
    file = DATA / "paper" / f"table{number}.csv"
    if not file.exists():
        why = "the paper's tables come with the repository, not the package"
        raise FileNotFoundError(f"{file} is missing: {why}")
    return pd.read_csv(file)


def paper_value(table: int, column: str, **where: object):
    """One printed value: the cell in `column` of the row whose other cells are as `where` says.

    >>> paper_value(1, "training_img_s", model="ResNet50-D")
    600

    Raises:
        LookupError: no such column, or not exactly one such row.
    """
    rows = paper_table(table)
    for name in (column, *where):
        if name not in rows:
            raise LookupError(f"Table {table} has no column {name!r}: it has {', '.join(rows)}")
    for name, value in where.items():
        rows = rows[rows[name] == value]
    if len(rows) != 1:
        raise LookupError(f"Table {table}: {len(rows)} rows with {where}, where one was meant")
    value = rows[column].iloc[0]
    return value.item() if hasattr(value, "item") else value


def paper_ratio(cell: dict[str, object], base_cell: dict[str, object]) -> float:
    """One printed value over another; each cell as `paper_value` takes it."""
    return paper_value(**cell) / paper_value(**base_cell)

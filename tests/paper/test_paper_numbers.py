"""Every number in data/paper is the paper's: row by row against its text, and the tables against
each other.

The text is not ours to distribute. Where a copy lies, TRESNET_PAPER_TEXT says; without one the
comparison is skipped.
"""

import re

import pandas as pd
import pytest

from tresnet_lite.checkout import DATA
from tresnet_lite.paper import NAMES, paper_table, paper_value
from tresnet_lite.paper.tables import TABLES


def printed_rows(text: str, number: int) -> list[list[str]]:
    """The rows above the caption "Table n.", each as its cells, without citations."""
    caption = re.search(rf"^Table {number}\.", text, re.MULTILINE)
    lines = text[: caption.start()].rstrip().rpartition("\n\n")[2].splitlines()
    rows = [line.rstrip("\t").split("\t") for line in lines]
    return [[re.sub(r"\s*\[\d+\]", "", cell).strip() for cell in row] for row in rows]


def as_printed(value: object, decimals: int) -> str:
    if pd.isna(value):
        return "-"
    return f"{value:.{decimals}f}" if isinstance(value, float) else str(value)


# Decimals with which a column is printed, where it is not an integer or a word.
DECIMALS = {
    "top1": 1,
    "flops_g": 1,
    "map": 1,
    "cp": 1,
    "cr": 1,
    "cf1": 1,
    "op": 1,
    "or": 1,
    "of1": 1,
}


def typed_rows(number: int) -> list[list[str]]:
    table = paper_table(number)
    return [
        [
            as_printed(value, DECIMALS.get(column, 0))
            for column, value in zip(table, row, strict=True)
        ]
        for row in table.itertuples(index=False)
    ]


@pytest.mark.parametrize("number", [1, 3, 4, 5, 8, 9])
def test_rows_are_the_papers(text, number):
    typed = typed_rows(number)
    printed = printed_rows(text, number)
    assert printed[-len(typed) :] == typed
    headings = printed[: -len(typed)]
    # no row is left out
    assert not any(re.search(r"\d\d\.\d|\d{3}", cell) for row in headings for cell in row)


def test_table_6_is_the_papers(text):
    typed, printed = typed_rows(6), printed_rows(text, 6)[1:]
    assert len(typed) == len(printed)
    names = []
    for ours, theirs in zip(typed, printed, strict=True):
        *name, model = " ".join(theirs[:2]).split()
        assert [model, *(cell for cell in theirs[2:] if cell)] == ours[1:]
        names.append(" ".join(name))
    # the last two names are broken over the two lines of their pair
    whole, broken = (
        names[:4],
        names[4:],
    )
    joined = [" ".join(pair).replace("- ", "-") for pair in (broken[:2], broken[2:])]
    assert [row[0] for row in typed] == [*whole, joined[0], joined[0], joined[1], joined[1]]


def test_table_2_is_the_papers(text):
    table = paper_table(2)
    *layers, sums = printed_rows(text, 2)[3:]
    models = list(table["model"].unique())
    assert models == ["TResNet-M", "TResNet-L", "TResNet-XL"]
    for theirs in layers:
        rows = table[(table["layer"] == theirs[0]) & (table["block_type"] == theirs[1])].set_index(
            "model"
        )
        stride = {as_printed(s, 0) for s in rows["stride"]}
        sizes = [as_printed(rows.loc[m, c], 0) for m in models for c in ("repeats", "channels")]
        assert [*rows["output"].unique(), *stride, *sizes] == theirs[2:]
    assert len(table) == 3 * (len(layers) + 1)
    params = [paper_value(2, "params_m", model=m, layer="#Params.") for m in models]
    # the text cuts 29.4M into two cells
    assert "".join(sums) == "#Params." + "".join(f"{p}M" for p in params)


def test_tables_1_3_and_4_agree_where_they_overlap():
    for model in ("ResNet50", "TResNet-M"):
        for column in ("training_img_s", "inference_img_s", "top1"):
            assert paper_value(1, column, model=model) == paper_value(3, column, model=model)
    ladder = paper_table(4)
    for row, model in ((0, "ResNet50"), (-1, "TResNet-M")):
        for column in ("inference_img_s", "top1"):
            assert ladder[column].iloc[row] == paper_value(1, column, model=model)


def test_tables_3_5_and_6_agree_where_they_overlap():
    for model in ("TResNet-M", "TResNet-L", "TResNet-XL"):
        assert paper_value(3, "top1", model=model) == paper_value(
            5, "top1", model=model, resolution=224
        )
    speed = paper_value(6, "inference_img_s", dataset="CIFAR-10", model="TResNet-XL")
    assert speed == paper_value(3, "inference_img_s", model="TResNet-XL")


def test_table_2_widens_by_stage_as_the_blocks_do():
    for model, rows in paper_table(2).groupby("model"):
        width = rows["channels"].iloc[1]
        widths = rows["channels"].iloc[2:6].tolist()
        # bottlenecks have four times the planes
        assert widths == [width, 2 * width, 16 * width, 32 * width], model


def test_every_table_is_there():
    assert sorted(p.stem for p in (DATA / "paper").glob("*.csv")) == [f"table{n}" for n in TABLES]
    assert set(NAMES.values()) <= set(paper_table(3)["model"])


def test_wrong_questions_are_answered_with_the_right_ones():
    with pytest.raises(ValueError, match="no Table 7; it has 1, 2, 3"):
        paper_table(7)
    with pytest.raises(LookupError, match="no column 'speed': it has model, training_img_s"):
        paper_value(1, "speed", model="ResNet50")
    with pytest.raises(LookupError, match="2 rows with"):
        paper_value(5, "top1", model="TResNet-M")
    with pytest.raises(LookupError, match="0 rows with"):
        paper_value(1, "top1", model="VGG")

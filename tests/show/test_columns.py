"""Tables and their columns: each stated once, and those that chapters show are all in the list."""

import ast
import math
import re
from pathlib import Path

import nbformat
import pandas as pd
import pytest

from tresnet_lite.book import readme
from tresnet_lite.checkout import ROOT
from tresnet_lite.show import runs
from tresnet_lite.show.columns import AS_THE_SLOWEST, COLUMNS, Quantity
from tresnet_lite.show.html import markdown, table

NOTEBOOKS = sorted((ROOT / "notebooks").glob("[!.]*.ipynb"))
UNITS = {column.quantity.unit for column in COLUMNS.values()} - {""}


def rows(frame: pd.DataFrame, *names: str, **options: object) -> list[str]:
    """The lines of a table's text: headings, dashes, one for each row."""
    return table(frame, *names, **options).text.splitlines()


def code_of(path: Path) -> str:
    cells = nbformat.read(path, as_version=4).cells
    return "\n\n".join(
        cell.source for cell in cells if cell.cell_type == "code" and cell.id != "setup"
    )


def test_a_table_shows_what_its_text_says():
    frame = pd.DataFrame({"name": ["<a>", "b"], "peak": [1234.5, float("nan")]})
    shown = table(frame, "name", "peak", note="a note")
    assert shown.text == (
        "| name | peak, MB |\n| --- | --- |\n| <a> | 1,234.5 |\n| b | – |\n\na note"
    )
    assert "&lt;a&gt;" in shown.html and "<td" in shown.html and "a note" in shown.html
    assert 'text-align:right;padding:0.2em 0.6em">1,234.5' in shown.html
    text = shown.text.replace("<a>", "&lt;a>").partition("\n\n")[0]
    assert markdown(frame, "name", "peak") == text


def test_a_table_may_have_a_heading_of_its_own_and_the_unit_stays():
    frame = pd.DataFrame({"name": ["a|<b>"], "kept": [1.0]})
    headings = {"name": "network", "kept": "published & kept"}
    assert rows(frame, "name", "kept", headings=headings)[0] == (
        "| network | published & kept, MB per image |"
    )
    assert "published &amp; kept" in table(frame, "kept", headings={"kept": headings["kept"]}).html


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("parametres",), r"called 'parametres'.*columns\.py has 'parameters'"),
        (("kept", "ratio"), "no column 'ratio': it has 'batch_ratio'"),
    ],
)
def test_an_unknown_column_is_refused_with_the_nearest(names, message):
    frame = pd.DataFrame({"kept": [1.0], "batch_ratio": [1.0]})
    with pytest.raises(ValueError, match=message):
        table(frame, *names)
    with pytest.raises(ValueError, match="heading is given for 'keep', which is not shown.*'kept'"):
        table(frame, "kept", headings={"keep": "held"})


@pytest.mark.parametrize(
    ("speeds", "shown"),
    [
        ([1234.5, 100.0], ["1,234", "100"]),
        ([1234.5, 9.0], ["1,234.50", "9.00"]),
        ([1234.5, math.nan], ["1,234", "–"]),
        ([math.nan, math.nan], ["–", "–"]),
    ],
)
def test_speeds_have_as_many_digits_as_the_slowest_needs(speeds, shown):
    frame = pd.DataFrame({"inference": speeds, "training": speeds[::-1], "paper": [70.0, 2930.0]})
    first, second = shown
    assert rows(frame, "inference", "training", "paper")[2:] == [
        f"| {first} | {second} | 70 |",
        f"| {second} | {first} | 2,930 |",
    ]


def test_quartiles_are_in_the_format_of_the_column_before():
    frame = pd.DataFrame({"measured": [110.4], "q1": [99.6], "q3": [120.0], "kept": [2.0]})
    frame["spread"], frame["ratio_spread"] = [(0.5, 0.75)], [(math.nan, math.nan)]
    assert rows(frame, "measured", "quartiles", "kept", "spread", "ratio_spread")[2] == (
        "| 110 | 100–120 | 2.00 | 0.50–0.75 | – |"
    )
    shares = pd.DataFrame({"shift_error": [0.5], "q1": [0.25], "q3": [0.75]})
    assert rows(shares, "shift_error", "quartiles")[2] == "| 50% | 25%–75% |"


def test_formats_render():
    """Numbers, whole or not, missing ones and words."""
    for name, column in COLUMNS.items():
        shown = rows(pd.DataFrame({name: [1, 2.5, None]}), name)[2:]
        assert len(shown) == 3 and "– |" not in shown[1] and shown[2] == "| – |", name
        if column.quantity.format != AS_THE_SLOWEST:  # a speed is a number
            assert rows(pd.DataFrame({name: ["a word"]}), name)[2] == "| a word |", name


def test_a_unit_is_stated_once_and_what_is_headed_alike_is_shown_alike():
    endings = tuple(f", {unit}" for unit in UNITS)
    assert [column for column in COLUMNS.values() if column.heading.endswith(endings)] == []
    alike: dict[tuple[str, str], Quantity] = {}
    for heading, quantity in COLUMNS.values():
        assert alike.setdefault((heading, quantity.unit), quantity) == quantity, heading


def strings(node: ast.AST) -> set[str]:
    return {n.value for n in ast.walk(node) if isinstance(n, ast.Constant) and n.value is not None}


def columns_shown(code: str) -> set[str]:
    """What calls of `table` and `runs_table` name, themselves or by a variable with a star."""
    tree, names, variables = ast.parse(code), set(), set()
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        if ast.unparse(call.func) in ("notebook.table", "runs_table"):
            for argument in call.args[1:]:
                if isinstance(argument, ast.Starred):
                    variables.add(ast.unparse(argument.value))
                else:
                    names |= strings(argument)
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign | ast.AugAssign):
            target = node.target if isinstance(node, ast.AugAssign) else node.targets[0]
            if ast.unparse(target) in variables:
                names |= strings(node.value)
    return names


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_columns_that_a_chapter_shows_are_in_the_list(path):
    names = columns_shown(code_of(path))
    assert names and names <= set(COLUMNS), names - set(COLUMNS)


def test_columns_that_the_package_shows_are_in_the_list():
    assert {*runs.SPEEDS, *runs.BATCHES, *readme.SIZE_COLUMNS, *readme.VERDICT_COLUMNS} <= set(
        COLUMNS
    )


def test_no_other_place_has_formats_of_columns():
    """As keys "heading|column" of a dictionary, which tables took before there was one list."""
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "tresnet_lite").rglob("*.py")]
    pattern = re.compile(r"""["'][^"'|\n]*\|\w+["']\s*:""")
    assert [
        key for code in (*sources, *map(code_of, NOTEBOOKS)) for key in pattern.findall(code)
    ] == []

"""The explorer: an interactive chart of accuracy against speed, over all that is known here.

The part holds its data and works without a network: plotly's script is the installed package's,
copied beside the page's own (`book/static/explorer.js`). Without scripts a drawing and a file of
the numbers are left.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from string import Template

import pandas as pd

from tresnet_lite.book.freshness import write_if_changed
from tresnet_lite.findings.landscape import landscape
from tresnet_lite.records import Record
from tresnet_lite.records.text import printable
from tresnet_lite.show.figures import landscape_drawing
from tresnet_lite.show.html import Html
from tresnet_lite.show.text import as_cell, as_html, as_json

CHOICES = {  # what can be chosen, in this order; the data's columns
    "place": "Device and source",
    "phase": "Phase",
    "memory_format": "Memory layout",
    "dtype": "Precision",
    "compile": "Compiler",
}
SCALES = {"speed": "Images per second", "ratio": "ResNet50 = 1"}
# what the page and its drawing show at first: place and phase
FIRST = ("RTX 4090, torch 2.4.0 (quoted, timm)", "inference")
POINT_COLUMNS = [*CHOICES, *SCALES, "network", "family", "resolution", "q1", "q3", "batch"]
POINT_COLUMNS += ["top1", "top1_source", "kind", "source"]

EXPLORER = Template("""\
```{raw} html
<div id="explorer">
<form class="explorer-choices" aria-label="What the chart shows">$choices</form>
<div id="explorer-chart" role="img"
 aria-label="Accuracy against speed; the table below holds the same points"></div>
<p id="explorer-told" role="status"></p>
<div id="explorer-static">$drawing
<p><small>$stated</small></p></div>
<div id="explorer-points" role="region" tabindex="0" aria-label="Table of the chart's points"></div>
</div>
<script type="application/json" id="explorer-data">$data</script>
<script defer src="../_static/plotly.min.js"></script>
<script defer src="../_static/explorer.js"></script>
```
""")


def assets(folder: Path, records: Iterable[Record]) -> dict[Path, Path]:
    """Files that the page needs beside the book's own: place in the stage → where it lies.

    Those that are made here go to `folder`.
    """
    import plotly

    write_if_changed(speeds_file(landscape(records)), folder / "speeds.csv")
    script = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
    static = Path("book/static")
    return {static / "plotly.min.js": script, static / "speeds.csv": folder / "speeds.csv"}


def places(points: pd.DataFrame) -> pd.DataFrame:
    """The points with `place`: device, version of torch and kind of source in one."""
    column = []
    for row in points.itertuples():
        device = f"{row.device}, torch {row.torch}" if row.torch else row.device
        source = f"quoted, {row.source.partition(',')[0]}" if row.kind == "quoted" else "measured"
        column.append(f"{device} ({source})")
    return points.assign(place=column)


def explorer(points: pd.DataFrame) -> str:
    """The chart with its choices, its data and its drawing, in MyST Markdown.

    Args:
        points: as `landscape` gives them.
    """
    points = places(_seen(points))
    return EXPLORER.substitute(
        choices=_choices(points),
        drawing=_drawing(points).html,
        stated=as_html(", ".join(FIRST)),
        data=_json(points),
    )


def speeds_file(points: pd.DataFrame) -> str:
    """The points as CSV, whose texts no spreadsheet computes."""
    points = points.map(lambda value: as_cell(value) if isinstance(value, str) else value)
    return points.to_csv(index=False, lineterminator="\n")


def _seen(points: pd.DataFrame) -> pd.DataFrame:
    """The points, with texts as they can be seen: the script compares them with the choices'."""
    return points.map(lambda value: printable(value) if isinstance(value, str) else value)


def _drawing(points: pd.DataFrame) -> Html:
    """What stands for the chart where no script runs."""
    place, phase = FIRST
    usual = "compile == 'eager' and memory_format == 'channels_first'"
    return landscape_drawing(points.query(f"place == @place and phase == @phase and {usual}"))


def _choices(points: pd.DataFrame) -> str:
    """A `<select>` for each choice; the script offers what goes with the choices before it."""
    selects = []
    for column, label in CHOICES.items():
        options = {value: value.replace("_", " ") for value in points[column].unique()}
        selects.append(_select(column, label, options))
    return "".join(selects) + _select("scale", "Speed as", SCALES)


def _select(name: str, label: str, options: dict[str, str]) -> str:
    """A labelled `<select>`; options are value → text."""
    lines = "".join(
        f'<option value="{as_html(value)}">{as_html(text)}</option>'
        for value, text in options.items()
    )
    select = f'<select id="explorer-{name}" name="{name}">{lines}</select>'
    return f'<label for="explorer-{name}">{label}{select}</label>'


def _json(points: pd.DataFrame) -> str:
    """The points as JSON that can stand in a page; missing numbers are null."""
    rows = json.loads(points[POINT_COLUMNS].to_json(orient="values", double_precision=6))
    page = {"columns": POINT_COLUMNS, "rows": rows, "first": FIRST}
    return as_json(page)

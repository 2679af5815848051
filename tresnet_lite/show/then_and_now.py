"""Then and now, as ratios to ResNet50: the paper's V100, others' newer devices, our records."""

from __future__ import annotations

import math

import pandas as pd
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from tresnet_lite.findings.then_and_now import RATIO_COLUMNS
from tresnet_lite.show.boxes import ACROSS, canvas, write
from tresnet_lite.show.marks import rows
from tresnet_lite.show.plots import chart, drawing, legend_above
from tresnet_lite.show.style import BLUE, ORANGE, SMALL, VERMILLION

MODE_LOOKS = {"eager": (BLUE, "o"), "compiled": (ORANGE, "s")}
CELL, LINE = 36.0, 17.0  # of the heat map: a cell's width and a row's height, in points
DEEPEST = 2.0  # doublings or halvings of the speed; further ones get no stronger colour


@drawing
def heat_map(table: pd.DataFrame) -> tuple[Figure, str]:
    """A row for each way of running and a column for each network; ResNet50's speed is 1.

    A faster network is blue, a slower one orange, the stronger the further from ResNet50. The rows
    of a device and version stand below its name.

    Args:
        table: the ways of running, as `ratios_to_resnet50` gives them.
    """
    figure, axes = canvas(LINE * (2 + len(table) + table["where"].nunique()))
    lefts = {name: ACROSS - CELL * (len(RATIO_COLUMNS) - i) for i, name in enumerate(RATIO_COLUMNS)}
    write(axes, lefts["l"] + CELL / 2, LINE / 2, "TResNet", fontsize=SMALL)
    axes.text(ACROSS, LINE / 2, "EfficientNet", ha="right", va="center", fontsize=SMALL)
    for name, left in lefts.items():
        write(axes, left + CELL / 2, 1.5 * LINE, name.upper(), fontsize=SMALL)
    top, clauses = 2 * LINE, []
    for where, part in table.groupby("where", sort=False):
        axes.text(0, top + LINE / 2, where, va="center", weight="bold", fontsize=SMALL)
        for row in part.to_dict("records"):
            top += LINE
            way = row["way"].removeprefix(where).removeprefix(", ") or "eager"
            axes.text(8, top + LINE / 2, way, va="center", fontsize=SMALL)
            numbers = {name: row[name] for name in lefts if not math.isnan(row[name])}
            for name, ratio in numbers.items():
                depth = math.log2(ratio) / DEEPEST
                colour = to_rgba(BLUE if depth > 0 else VERMILLION, 0.7 * min(abs(depth), 1))
                corner = (lefts[name] + 1, top + 1)
                axes.add_patch(Rectangle(corner, CELL - 2, LINE - 2, facecolor=colour))
                middle = lefts[name] + CELL / 2
                write(axes, middle, top + LINE / 2, f"{ratio:.2f}", fontsize=SMALL)
            ratios = ", ".join(f"{name.upper()} {ratio:.2f}" for name, ratio in numbers.items())
            clauses.append(f"{row['where']}, {row['ran']}: {ratios}")
        top += LINE
    intro = "Speed relative to ResNet50 on the same device, by way of running."
    return figure, f"{intro} {'; '.join(clauses)}."


@drawing
def since(
    table: pd.DataFrame, *, column: str = "m", title: str = "TResNet-M"
) -> tuple[Figure, str]:
    """One network's speed, ResNet50 = 1: a point for each way of running, the paper's as a line.

    Args:
        table: the ways of running, as `ratios_to_resnet50` gives them.
        column: the network's.
        title: the network's name.
    """
    figure, axes = chart(0.42 * len(table) + 1.3)
    rows(axes, [""] * len(table), reference=1)
    for value in table.loc[table["kind"].str.startswith("quoted (the paper"), column]:
        axes.axvline(value, color=VERMILLION, linewidth=2, alpha=0.7, label="the paper")
    for mode, (colour, marker) in MODE_LOOKS.items():
        part = table[table["compile"] == mode]
        if len(part):
            look = {"color": colour, "markersize": 7, "label": mode}
            axes.plot(part[column], part.index + 0.15, marker, **look)
    for row in table.itertuples():
        axes.text(0.01, row.Index - 0.22, row.way, fontsize=SMALL, va="center")
    axes.set(xlim=(0, 1.25), title=f"{title}, ResNet50 = 1")
    axes.set_xlabel("speed (right is faster)", fontsize=SMALL + 1)
    legend_above(figure, ncols=3)
    clauses = [f"{r.where}, {r.ran}: {getattr(r, column):.2f}" for r in table.itertuples()]
    intro = f"Speed of {title} relative to ResNet50, by device and way of running."
    return figure, f"{intro} {'; '.join(clauses)}."

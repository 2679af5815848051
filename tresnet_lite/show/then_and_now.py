"""Then and now, as ratios to ResNet50: the paper's V100, others' newer devices, our records."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from tresnet_lite.findings.then_and_now import USUAL
from tresnet_lite.show.marks import rows
from tresnet_lite.show.plots import chart, drawing, legend_above
from tresnet_lite.show.style import BLUE, ORANGE, SMALL, VERMILLION

MODE_LOOKS = {"eager": (BLUE, "o"), "compiled": (ORANGE, "s")}


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
        axes.text(0.01, row.Index - 0.22, _way(row), fontsize=SMALL, va="center")
    axes.set(xlim=(0, 1.25), title=f"{title}, ResNet50 = 1")
    axes.set_xlabel("speed (right is faster)", fontsize=SMALL + 1)
    legend_above(figure, ncols=3)
    clauses = [f"{r.where}, {r.ran}: {getattr(r, column):.2f}" for r in table.itertuples()]
    intro = f"Speed of {title} relative to ResNet50, by device and way of running."
    return figure, f"{intro} {'; '.join(clauses)}."


def _way(row: object) -> str:
    """Where it ran, and how unless that is the paper's way; its colour says if it was compiled."""
    how = [part for part in row.ran.split(", ")[:-1] if part not in USUAL]
    return ", ".join([row.where, *how])

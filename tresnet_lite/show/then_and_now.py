"""Then and now: the paper's V100, what others published for newer devices, and our records, as
ratios to ResNet50.
"""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from tresnet_lite.findings.then_and_now import USUAL
from tresnet_lite.show.plots import BLUE, INK, ORANGE, SMALL, VERMILLION, WIDTH, drawing


@drawing
def since(
    table: pd.DataFrame, *, column: str = "m", title: str = "TResNet-M"
) -> tuple[Figure, str]:
    """One network's speed to ResNet50's, a line for each way of running that `ratios` gives, the
    paper's as a bar.
    """
    figure = Figure(figsize=(WIDTH, 0.42 * len(table) + 1.3), layout="constrained")
    axes = figure.subplots()
    axes.axvline(1, color=INK, linewidth=0.8, alpha=0.5)
    for value in table[table["kind"].str.startswith("quoted (the paper")][column]:
        axes.axvline(value, color=VERMILLION, linewidth=2, alpha=0.7, label="the paper")
    looks = {"eager": (BLUE, "o"), "compiled": (ORANGE, "s")}
    for mode, (colour, marker) in looks.items():
        part = table[table["compile"] == mode]
        if len(part):
            axes.plot(
                part[column], part.index + 0.15, marker, color=colour, label=mode, markersize=7
            )
    for row in table.itertuples():
        axes.text(0.01, row.Index - 0.22, _named(row), fontsize=SMALL, va="center")
    axes.set(
        ylim=(len(table) - 0.4, -0.6), xlim=(0, 1.25), yticks=[], title=f"{title}, ResNet50 = 1"
    )
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("speed (right is faster)", fontsize=SMALL + 1)
    figure.legend(
        *axes.get_legend_handles_labels(), loc="outside upper center", ncols=3, handletextpad=0.3
    )
    told = "; ".join(
        f"{row.where}, {row.ran}: {getattr(row, column):.2f}" for row in table.itertuples()
    )
    return figure, f"Speed of {title}, ResNet50 = 1. {told}."


def _named(row: object) -> str:
    """Where, and how it ran where that is not the paper's way; colours tell whether it was
    compiled.
    """
    how = [part for part in row.ran.split(", ")[:-1] if part not in USUAL]
    return ", ".join([row.where, *how])

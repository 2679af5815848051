"""How far processes are apart: the figure of the page on how we measure."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from tresnet_lite.show.plots import charts, drawing
from tresnet_lite.show.style import BLUE, INK, STYLE


@drawing
def processes(table: pd.DataFrame) -> tuple[Figure, str]:
    """Each process's ratio as a line, by device and phase.

    Args:
        table: as `findings.ratios.deviations` gives it, with one row at least.
    """
    groups = list(table.groupby(["device", "phase"], sort=True))
    figure, panels = charts(len(groups), 0.9 * len(groups) + 0.6)
    reach = max(1.0, 1.1 * table["percent"].abs().max())
    clauses = []
    for axes, ((device, phase), lines) in zip(panels, groups, strict=True):
        percent = lines["percent"].abs()
        axes.set_title(f"{device}, {phase}")
        axes.vlines(lines["percent"], -1, 1, color=BLUE, alpha=0.6, linewidth=1)
        axes.axvline(0, color=INK, linewidth=0.6)
        axes.set(yticks=[], ylim=(-1.2, 1.2), xlim=(-reach, reach))
        axes.spines["left"].set_visible(False)
        half, largest = percent.median(), percent.max()
        clauses.append(f"{device}, {phase}: half within {half:.1f} %, all within {largest:.1f} %")
    figure.supxlabel("% from the mean of all processes", fontsize=STYLE["font.size"])
    intro = "Each process\u2019s ratios, as distances from the mean of all processes."
    return figure, f"{intro} {'; '.join(clauses)}."

"""Accuracy against speed, the class of evidence told by the marks."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import StrMethodFormatter

from tresnet_lite.findings.curves import FAMILIES, front
from tresnet_lite.findings.evidence import PREDICTED, PRINTED, PUBLISHED
from tresnet_lite.show.figures import FAMILY_LOOKS, OTHERS, short
from tresnet_lite.show.marks import name_points, plain_ticks
from tresnet_lite.show.plots import charts, drawing, legend_above
from tresnet_lite.show.style import INK, SMALL, STYLE

EVIDENCE_LOOKS = {  # class → marker, its size and how it is filled
    PRINTED: {"marker": "D", "markersize": 7, "fillstyle": "none", "markeredgewidth": 1.8},
    PREDICTED: {"marker": "o", "markersize": 6},
    PUBLISHED: {"marker": "s", "markersize": 6},
}
EVIDENCE_WORDS = {  # class → what the legend says
    PRINTED: "printed (paper)",
    PREDICTED: "predicted, 95 %",
    PUBLISHED: "published (timm)",
}


@drawing
def accuracy_by_evidence(points: pd.DataFrame) -> tuple[Figure, str]:
    """Top-1 accuracy against the speed of inference: axes for each device, in the points' order.

    Args:
        points: as `findings.evidence.speeds_by_evidence` gives them.
    """
    devices = list(points["device"].unique())
    figure, panels = charts(len(devices), 3.3 * len(devices) + 0.8, sharex=False)
    for axes, device in zip(panels, devices, strict=True):
        _draw(axes, points[points["device"] == device], device)
    figure.supxlabel("images per second, inference (right is faster)", fontsize=STYLE["font.size"])
    legend_above(figure, _legend(points), fontsize=SMALL, columnspacing=1.2)
    for axes, device in zip(panels, devices, strict=True):
        named = points[(points["device"] == device) & ~points["network"].isin(OTHERS)]
        names = [short(row) for row in named.itertuples()]
        name_points(axes, names, named["speed"], named["top1"], size=SMALL)
    clauses = "; ".join(_words(row) for row in points.itertuples())
    sources = "printed in the paper or predicted by counting"
    intro = f"Top-1 accuracy (quoted) against speed on the paper's V100, {sources}"
    return figure, f"{intro}, and on a newer GPU, published by timm. {clauses}."


def _draw(axes: Axes, points: pd.DataFrame, device: str) -> None:
    """A device's points: colours by family, marks by evidence, and the EfficientNets' curve."""
    for (name, evidence), part in points.groupby(["family", "evidence"], sort=False):
        look, colour = EVIDENCE_LOOKS[evidence], FAMILY_LOOKS[name][0]
        if evidence == PREDICTED:
            ends = part["low"], part["high"]
            axes.hlines(part["top1"], *ends, color=colour, linewidth=3, alpha=0.4)
        axes.plot(part["speed"], part["top1"], linestyle="none", color=colour, **look)
    theirs = points[points["family"] == "EfficientNet"].sort_values("speed")
    best = theirs[front(theirs["speed"], theirs["top1"])]
    axes.plot(best["speed"], best["top1"], color=FAMILY_LOOKS["EfficientNet"][0], linewidth=1)
    slowest, fastest = points["low"].fillna(points["speed"]), points["high"].fillna(points["speed"])
    axes.set(xscale="log", title=device, ylabel="top-1, % (quoted)", ylim=(76, 85.4))
    axes.set_xlim(slowest.min() / 1.5, fastest.max() * 1.8)  # room for names
    plain_ticks(axes.xaxis)
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.grid(color=INK, alpha=0.15)


def _legend(points: pd.DataFrame) -> list[Line2D | Patch]:
    """The classes of evidence by their marks, then the families by their colours."""
    marks = [
        Line2D([], [], linestyle="none", color=INK, label=EVIDENCE_WORDS[evidence], **look)
        for evidence, look in EVIDENCE_LOOKS.items()
        if evidence in set(points["evidence"])
    ]
    colours = [Patch(color=FAMILY_LOOKS[name][0], label=name) for name in FAMILIES]
    return [*marks, *colours]


def _words(row: object) -> str:
    speed = f"{row.speed:.0f}"
    if row.evidence == PREDICTED:
        speed += f" ({row.low:.0f} to {row.high:.0f})"
    return f"{row.device}, {short(row)}: {speed} {row.evidence}, {row.top1:.1f} %"

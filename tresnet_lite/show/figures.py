"""Figures 4 and 5 drawn: accuracy against speed, the EfficientNets' curve, and the front of all."""

from __future__ import annotations

import math

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tresnet_lite.findings.curves import FAMILIES, above, family, front
from tresnet_lite.findings.tables import PAPER_SIDE
from tresnet_lite.paper import paper_table
from tresnet_lite.show.marks import accuracy_axes, name_points, paper_marks, plain_ticks
from tresnet_lite.show.plots import chart, drawing, legend_above, speed_label
from tresnet_lite.show.style import BLUE, GREEN, INK, ORANGE, SMALL

FAMILY_LOOKS = dict(zip(FAMILIES, ((BLUE, "o"), (GREEN, "s"), (ORANGE, "^")), strict=True))
TABLE_1 = paper_table(1)["model"]
OTHERS = [name for name in TABLE_1 if family(name) == FAMILIES[2] and name != "ResNet50"]


@drawing
def accuracy_against_speed(lines: pd.DataFrame) -> tuple[Figure, str]:
    """One run's figure: accuracy against speed, TResNet-M at 224 px = 1, beside the paper's speeds.

    Args:
        lines: of one run, as `tresnet_lite.findings.figures` gives them.
    """
    points = lines.dropna(subset="ratio").rename(columns={"ratio": "x"})
    paper = lines.dropna(subset="paper_ratio")
    figure, axes = chart(4.6)
    draw_points(axes, points)
    label = "speed in the paper's tables"
    paper_marks(axes, paper["paper_ratio"], paper["top1"], label=label, size=11)
    speed_label(figure, "TResNet-M at 224 px")
    legend_above(figure)
    name_networks(axes, points)
    intro = f"Accuracy against {lines['phase'].iloc[0]} speed, relative to TResNet-M at 224 px"
    if points.empty:
        return figure, f"{intro}: nothing was measured."
    best = ", ".join(short(r) for r in points[front(points["x"], points["top1"])].itertuples())
    clauses = "; ".join(f"{short(r)} {r.x:.2f}, {r.top1:.1f} %" for r in points.itertuples())
    return figure, f"{intro}. {clauses}. On the front: {best}."


@drawing
def v100(points: pd.DataFrame) -> tuple[Figure, str]:
    """The paper's V100: predicted speeds with intervals, printed ones, and those read off a figure.

    Args:
        points: as `tresnet_lite.findings.figures.v100` gives them.
    """
    base = points.set_index(["network", "resolution"])["paper"]["TResNet-M", PAPER_SIDE]
    speeds = ["paper", "digitised", "predicted", "low", "high"]
    points = points.assign(**points[speeds] / base)
    figure, axes = chart(5.0)
    predicted = points.rename(columns={"predicted": "x"})
    draw_points(axes, predicted)
    bars = {"color": INK, "linewidth": 2, "alpha": 0.6, "label": "95 % interval"}
    axes.hlines(points["top1"], points["low"], points["high"], **bars)
    cross = {"color": INK, "markersize": 9, "markeredgewidth": 1.8}
    axes.plot(points["digitised"], points["top1"], "x", label="read off", **cross)
    paper_marks(axes, points["paper"], points["top1"], label="printed", size=11)
    speed_label(figure, "TResNet-M at 224 px")
    legend_above(figure)
    name_networks(axes, predicted)
    clauses = []
    for row in predicted.itertuples():
        clause = (
            f"{short(row)} {row.top1:.1f} %, predicted {row.x:.2f} ({row.low:.2f}–{row.high:.2f})"
        )
        clause += f", printed {row.paper:.2f}" if row.paper > 0 else ""
        clauses.append(clause + (f", read off {row.digitised:.2f}" if row.digitised > 0 else ""))
    phase = points["phase"].iloc[0]
    intro = f"Accuracy against {phase} speed on the paper's V100, predicted (filled) and as known."
    return figure, f"{intro} TResNet-M at 224 px, printed, is 1. {'; '.join(clauses)}."


def draw_points(axes: Axes, points: pd.DataFrame) -> None:
    """Points marked by family, with their front behind them.

    Args:
        points: columns network, resolution, x (a speed) and top1.
    """
    if len(points):
        best = points[front(points["x"], points["top1"])].sort_values("x")
        wide = {"color": INK, "linewidth": 7, "alpha": 0.15}
        axes.step(best["x"], best["top1"], where="pre", label="front of all", **wide)
    for name, (colour, marker) in FAMILY_LOOKS.items():
        part = points[points["network"].map(family) == name].sort_values("x")
        if part.empty:
            continue
        axes.plot(part["x"], part["top1"], marker, color=colour, markersize=7, label=name)
        if name == "EfficientNet":
            best = part[front(part["x"], part["top1"])]
            axes.plot(best["x"], best["top1"], "-", color=colour, label="EfficientNet's curve")
    # from power to power of four, and as far as there are points
    least, most = (min(points["x"], default=1), max(points["x"], default=1))
    ticks = [4.0**n for n in range(-5, 4)]
    low, high = min(1 / 64, least / 1.5), max(4, most * 1.5)
    shown = [tick for tick in ticks if low <= tick <= high]
    accuracy_axes(axes, shown, xlim=(low, high), ylim=(76, 85.4))


def name_networks(axes: Axes, points: pd.DataFrame) -> None:
    """Name the points of `draw_points`, when all else is drawn.

    The others lie too close around ResNet50 to be named in the drawing; its text names them.
    """
    named = points[~points["network"].isin(OTHERS)]
    names = [short(row) for row in named.itertuples()]
    name_points(axes, names, named["x"], named["top1"], size=SMALL)


def short(row: object) -> str:
    """ "B3", "XL 448": a network's name where there is little room."""
    name = row.network.removeprefix("EfficientNet-").removeprefix("TResNet-")
    return f"{name} {row.resolution}" if row.network.startswith("TResNet-") else name


@drawing
def how_above() -> tuple[Figure, str]:
    """What "above the curve" means: an imagined curve, and four points judged against it."""
    networks = [(0.1, 84.0), (0.3, 82.8), (1.0, 80.2), (2.5, 77.0)]
    points = [(0.5, 83.0), (1.6, 77.6), (3.2, 78.5), (0.06, 84.6)]
    figure, axes = chart(3.0)
    axes.plot(*zip(*networks, strict=True), "s-", color=GREEN, label="curve")
    clauses = []
    for speed, top1 in points:
        gap = above(speed, top1, networks)
        verdict = "cannot be judged"
        if not math.isnan(gap):
            verdict = f"{gap:+.1f}"
            axes.vlines(speed, top1 - gap, top1, color=INK, linewidth=1, linestyle=":")
        axes.plot(speed, top1, "o", color=BLUE)
        place = {"xytext": (0, -16 if gap < 0 else 7), "textcoords": "offset points"}
        axes.annotate(verdict, (speed, top1), fontsize=SMALL, ha="center", **place)
        clauses.append(f"at speed {speed:g} and {top1:g} %: {verdict}")
    axes.set(xscale="log", xlabel="speed", ylabel="top-1, %")
    plain_ticks(axes.xaxis, [0.1, 1])
    axes.set(xlim=(0.03, 6), ylim=(76, 86))
    intro = "How far four points lie above or below an imagined curve of four networks."
    return figure, f"{intro} {'; '.join(clauses)}."


@drawing
def landscape_drawing(points: pd.DataFrame) -> tuple[Figure, str]:
    """Accuracy against speed, ResNet50 = 1, of all networks run in one way.

    Args:
        points: of one way of running, as `landscape` gives them.
    """
    points = points.rename(columns={"ratio": "x"}).dropna(subset="x")
    figure, axes = chart(4.6)
    draw_points(axes, points)
    speed_label(figure, "ResNet50")
    legend_above(figure)
    name_networks(axes, points)
    clauses = "; ".join(f"{short(r)} {r.x:.2f}, {r.top1:.1f} %" for r in points.itertuples())
    return (
        figure,
        f"Accuracy against speed relative to ResNet50. {clauses or 'Nothing was measured'}.",
    )

"""Figures 4 and 5 drawn: accuracy against speed, the EfficientNets' curve and the front that
nothing beats.
"""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator, StrMethodFormatter

from tresnet_lite.findings.curves import FAMILIES, above, family, front
from tresnet_lite.paper import paper_table
from tresnet_lite.show.plots import BLUE, GREEN, INK, ORANGE, SMALL, VERMILLION, WIDTH, drawing

LOOKS = dict(zip(FAMILIES, ((BLUE, "o"), (GREEN, "s"), (ORANGE, "^")), strict=True))
OTHERS = [
    name for name in paper_table(1)["model"] if family(name) == FAMILIES[2] and name != "ResNet50"
]


@drawing
def curve(lines: pd.DataFrame) -> tuple[Figure, str]:
    """Accuracy against speed, TResNet-M at 224 px = 1, of one run's lines of a figure (see
    `tresnet_lite.findings.figures`).
    """
    figure = Figure(figsize=(WIDTH, 4.6), layout="constrained")
    axes = figure.subplots()
    points = lines.dropna(subset="ratio").rename(columns={"ratio": "x"})
    draw_points(axes, points)
    printed = lines.dropna(subset="paper_ratio")
    hollow = {"color": VERMILLION, "fillstyle": "none", "markeredgewidth": 1.6, "markersize": 11}
    axes.plot(
        printed["paper_ratio"], printed["top1"], "D", label="speed in the paper's tables", **hollow
    )
    axes.set_xlabel("speed, TResNet-M at 224 px = 1 (right is faster)", fontsize=SMALL + 1)
    figure.legend(
        *axes.get_legend_handles_labels(), loc="outside upper center", ncols=2, handletextpad=0.4
    )
    told = "; ".join(f"{short(r)} {r.x:.2f}, {r.top1:.1f} %" for r in points.itertuples())
    phase = lines["phase"].iloc[0]
    if not told:
        return figure, f"Accuracy against speed in {phase}: nothing was measured."
    best = ", ".join(short(r) for r in points[front(points["x"], points["top1"])].itertuples())
    return (
        figure,
        (
            f"Accuracy against speed in {phase}, TResNet-M at 224 px = 1. {told}. On the front:"
            f" {best}."
        ),
    )


def draw_points(axes: Axes, points: pd.DataFrame) -> None:
    """Points of columns network, resolution, x (a speed) and top1: marked by family, named, and
    their front behind.
    """
    if len(points):
        best = points[front(points["x"], points["top1"])].sort_values("x")
        axes.step(
            best["x"],
            best["top1"],
            where="pre",
            color=INK,
            linewidth=7,
            alpha=0.15,
            label="front of all",
        )
    for name, (colour, marker) in LOOKS.items():
        part = points[points["network"].map(family) == name].sort_values("x")
        if part.empty:
            continue
        axes.plot(part["x"], part["top1"], marker, color=colour, markersize=7, label=name)
        if name == "EfficientNet":
            kept = part[front(part["x"], part["top1"])]
            axes.plot(
                kept["x"],
                kept["top1"],
                "-",
                color=colour,
                linewidth=1.5,
                label="EfficientNet's curve",
            )
        # The others lie too close around ResNet50 to be named in the drawing; its text names them.
        for row in part[~part["network"].isin(OTHERS)].itertuples():
            below = {"xytext": (-6, -4), "ha": "right", "va": "top"}
            place = {"xytext": (7, 3), "ha": "left", "va": "center"} if name == "TResNet" else below
            axes.annotate(
                short(row), (row.x, row.top1), textcoords="offset points", fontsize=SMALL, **place
            )
    axes.set(xscale="log", ylabel="top-1, % (quoted)")
    axes.set_xticks([1 / 64, 1 / 16, 1 / 4, 1, 4], ["1/64", "1/16", "1/4", "1", "4"])
    axes.set(xlim=(1 / 64, 4), ylim=(76, 85.4))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.grid(color=INK, alpha=0.15)


def short(row: object) -> str:
    """ "B3", "XL 448": a network's name where there is little room."""
    name = row.network.removeprefix("EfficientNet-").removeprefix("TResNet-")
    return (
        f"{name} {row.resolution}"
        if name != row.network and row.network.startswith("TResNet")
        else name
    )


@drawing
def how_above() -> tuple[Figure, str]:
    """What "above the curve" means: an imagined curve, and four points judged against it."""
    joined = [(0.1, 84.0), (0.3, 82.8), (1.0, 80.2), (2.5, 77.0)]
    judged = [(0.5, 83.0), (1.6, 77.6), (3.2, 78.5), (0.06, 84.6)]
    figure = Figure(figsize=(WIDTH, 3.0), layout="constrained")
    axes = figure.subplots()
    axes.plot(*zip(*joined, strict=True), "s-", color=GREEN, label="curve")
    told = []
    for speed, top1 in judged:
        gap = above(speed, top1, joined)
        verdict = "cannot be told" if gap != gap else f"{gap:+.1f}"
        if gap == gap:
            axes.vlines(speed, top1 - gap, top1, color=INK, linewidth=1, linestyle=":")
        axes.plot(speed, top1, "o", color=BLUE)
        place = {
            "xytext": (0, -16 if gap < 0 else 7),
            "textcoords": "offset points",
            "ha": "center",
        }
        axes.annotate(verdict, (speed, top1), fontsize=SMALL, **place)
        told.append(f"at speed {speed:g} and {top1:g} %: {verdict}")
    axes.set(xscale="log", xlabel="speed", ylabel="top-1, %", xlim=(0.03, 6), ylim=(76, 86))
    axes.set_xticks([0.1, 1], ["0.1", "1"])
    axes.xaxis.set_minor_locator(NullLocator())
    return (
        figure,
        f"An imagined curve of four networks and four points against it. {'; '.join(told)}.",
    )


@drawing
def landscape_drawing(points: pd.DataFrame) -> tuple[Figure, str]:
    """Points of one way of running, as `landscape` gives them: accuracy against speed, ResNet50 =
    1.
    """
    figure = Figure(figsize=(WIDTH, 4.6), layout="constrained")
    axes = figure.subplots()
    points = points.rename(columns={"ratio": "x"}).dropna(subset="x")
    draw_points(axes, points)
    axes.set_xlabel("speed, ResNet50 = 1 (right is faster)", fontsize=SMALL + 1)
    figure.legend(
        *axes.get_legend_handles_labels(), loc="outside upper center", ncols=2, handletextpad=0.4
    )
    told = "; ".join(f"{short(r)} {r.x:.2f}, {r.top1:.1f} %" for r in points.itertuples())
    return figure, f"Accuracy against speed, ResNet50 = 1. {told or 'Nothing was measured'}."

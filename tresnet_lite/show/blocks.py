"""The figures of the chapter on block types: the two blocks, their windows, the roofline, the
mixes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, DrawingArea
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter
from torch import nn

from tresnet_lite.bench.roofline import Roofline
from tresnet_lite.experiments.blocks import LABELS, PAPERS_CHOICE, main_path
from tresnet_lite.layers import SqueezeExcite
from tresnet_lite.model import BasicBlock, ConvNormAct
from tresnet_lite.show.plots import (
    BLUE,
    GREEN,
    INK,
    POINT,
    SMALL,
    VERMILLION,
    WIDTH,
    arrow,
    box,
    canvas,
    drawing,
)

COLOURS = {"basic": BLUE, "bottleneck": VERMILLION}
MARKERS = {"basic": "o", "bottleneck": "s"}
STEP, HIGH = 54.0, 36.0  # points from one box to the next, and of a box


@drawing
def blocks(named: Mapping[str, nn.Module]) -> tuple[Figure, str]:
    """Residual blocks side by side, as in the paper's figure 3: name → a block that keeps its
    input's shape.
    """
    columns = {name: _steps(block) for name, block in named.items()}
    longest = max(map(len, columns.values()))
    figure, axes = canvas(44 + STEP * longest + 72)
    pitch = WIDTH / POINT / len(columns)
    told = []
    for i, (name, steps) in enumerate(columns.items()):
        middle = (i + 0.5) * pitch - 8  # the shortcut runs on the right
        channels = f"{main_path(named[name])[0].conv.in_channels} channels"
        axes.text(middle, 10, name, ha="center", va="center", weight="bold")
        axes.text(middle, 28, channels, ha="center", va="center")
        spread = longest / len(steps)  # both columns end at one height
        ends = [36.0]
        for row, (label, colour) in enumerate(steps):
            top = 52 + STEP * (row + 0.5) * spread - STEP / 2
            box(axes, middle - 52, top, 104, HIGH, colour)
            axes.text(
                middle,
                top + HIGH / 2,
                label,
                ha="center",
                va="center",
                fontsize=SMALL,
                linespacing=1.3,
            )
            arrow(axes, middle, ends[-1], top)
            ends.append(top + HIGH)
        _sum(axes, middle, ends[-1], 52 + STEP * longest + 6)
        boxes = ", ".join(label for label, _ in steps).replace("\n", " ")
        told.append(f"{name}, {channels}: {boxes}, plus the block's input, then ReLU")
    return figure, f"{'; '.join(told)}."


def _steps(block: nn.Module) -> list[tuple[str, str]]:
    """The labels and colours of a block's boxes from the top down."""
    units = [
        (_unit(unit), BLUE if unit.conv.kernel_size == (3, 3) else "none")
        for unit in main_path(block)
    ]
    if isinstance(block.se, SqueezeExcite):
        # before the sum, or after the 3×3 (§2.1)
        place = len(units) if isinstance(block, BasicBlock) else 2
        units.insert(place, (f"SE\nthrough {block.se.fc1.out_channels}", GREEN))
    return units


def _unit(unit: ConvNormAct) -> str:
    size, channels = unit.conv.kernel_size[0], unit.conv.out_channels
    last = getattr(unit.bn, "activation", "identity") == "identity" and isinstance(
        unit.act, nn.Identity
    )
    return f"conv {size}×{size}, {channels}\n" + ("norm" if last else "norm, activation")


def _sum(axes: Axes, middle: float, above: float, centre: float) -> None:
    """The shortcut around a column of boxes, the sum and the last activation."""
    side = middle + 66
    axes.plot([middle, side, side], [42, 42, centre], color=INK, linewidth=1)
    axes.annotate(
        "",
        (middle + 9, centre),
        (side, centre),
        arrowprops={"arrowstyle": "-|>", "color": INK, "shrinkA": 0},
    )
    arrow(axes, middle, above, centre - 9)
    axes.text(
        middle,
        centre,
        "+",
        ha="center",
        va="center",
        weight="bold",
        bbox={
            "boxstyle": "circle,pad=0.25",
            "facecolor": "none",
            "edgecolor": INK,
            "linewidth": 0.8,
        },
    )
    arrow(axes, middle, centre + 9, centre + 26)
    axes.text(middle, centre + 36, "ReLU", ha="center", va="center")


@drawing
def windows(
    sides: Mapping[str, Sequence[int]], depths: Sequence[int], image_size: int = 224
) -> tuple[Figure, str]:
    """How far an output sees after each block, in at most three networks: name → sides in pixels,
    the stem's first.
    """
    figure = Figure(figsize=(WIDTH, 3.6), layout="constrained")
    axes = figure.subplots()
    styles = ((BLUE, "o"), (GREEN, "D"), (VERMILLION, "s"))
    for (name, values), (colour, marker) in zip(sides.items(), styles, strict=False):
        axes.plot(range(len(values)), values, color=colour, marker=marker, markersize=4, label=name)
    axes.axhline(image_size, color=INK, linewidth=0.8, linestyle="--")
    axes.text(
        sum(depths),
        image_size * 0.9,
        f"the image, {image_size} px",
        ha="right",
        va="top",
        fontsize=SMALL,
    )
    ends = [sum(depths[: i + 1]) for i in range(len(depths))]
    for end in ends[:-1]:
        axes.axvline(end + 0.5, color=INK, linewidth=0.5, alpha=0.4)
    axes.set_yscale("log", base=2)
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:.0f}"))
    centres = [(start + end + 1) / 2 for start, end in zip([0, *ends], ends, strict=False)]
    axes.set(
        ylabel="window, px", xlabel="stage", xticks=centres, xticklabels=range(1, len(depths) + 1)
    )
    axes.tick_params(axis="x", length=0)
    figure.legend(loc="outside upper center", ncols=1)
    told = [
        f"{name}: {values[ends[1]]} pixels after stage 2, {values[-1]} at the end"
        for name, values in sides.items()
    ]
    return figure, f"The window that one output sees, block by block. {'; '.join(told)}."


@drawing
def roofline(points: pd.DataFrame, roof: Roofline) -> tuple[Figure, str]:
    """The two ceilings, and below them each block at its intensity and speed; columns as `achieved`
    gives them.
    """
    unit, name = (1e12, "TFLOP/s") if roof.arithmetic.median >= 1e12 else (1e9, "GFLOP/s")
    figure = Figure(figsize=(WIDTH, 4.2), layout="constrained")
    axes = figure.subplots()
    low, high = (
        min(points["intensity"].min(), roof.ridge) / 2,
        max(points["intensity"].max(), roof.ridge) * 2,
    )
    ceilings = [roof.attainable(x) / unit for x in (low, roof.ridge, high)]
    axes.loglog((low, roof.ridge, high), ceilings, color=INK, linewidth=1.5)
    bandwidth, arithmetic = f"{roof.bandwidth.median / 1e9:.3g} GB/s", f"{ceilings[-1]:.3g} {name}"
    axes.text(high, ceilings[-1] * 1.05, arithmetic, ha="right", va="bottom", fontsize=SMALL)
    axes.text(low * 1.04, ceilings[-1] * 1.05, bandwidth, va="bottom", fontsize=SMALL)
    for kind, rows in points.groupby("block"):
        axes.vlines(
            rows["intensity"],
            rows["q1"] / unit,
            rows["q3"] / unit,
            color=COLOURS[kind],
            linewidth=2,
        )
        style = {
            "color": COLOURS[kind],
            "fillstyle": "full" if kind == "basic" else "none",
            "markeredgewidth": 1.8,
        }
        axes.plot(
            rows["intensity"],
            rows["flops"] / unit,
            MARKERS[kind],
            label=LABELS[kind],
            markersize=7,
            **style,
        )
        for row in rows.itertuples():
            place = {"xytext": (7, 4), "textcoords": "offset points", "fontsize": SMALL}
            axes.annotate(str(row.stage), (row.intensity, row.flops / unit), **place)
    bottom, top = (
        min(points["q1"].min() / unit, ceilings[0]),
        max(points["q3"].max() / unit, ceilings[-1]),
    )
    axes.set(
        xlabel="FLOP for each byte moved",
        ylabel=name,
        xlim=(low, high),
        ylim=(bottom / 1.5, top * 1.7),
    )
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axis.set_minor_locator(NullLocator())
    figure.legend(loc="outside upper center", ncols=2)
    told = [
        f"{r.name} of stage {r.stage}: {r.intensity:.0f} FLOP/byte, {r.flops / unit:.3g} {name}"
        for r in points.itertuples()
    ]
    return (
        figure,
        (
            f"The roofline of {bandwidth} and {arithmetic}, and the blocks under it."
            f" {'; '.join(told)}."
        ),
    )


@drawing
def mixes(table: pd.DataFrame, phase: str = "inference") -> tuple[Figure, str]:
    """Speed against parameters; a point is four squares, filled for a BasicBlock; the paper's
    choice has a frame.

    Columns of `table`: name, parameters (M), and for the phase …_ratio, …_q1, …_q3.
    """
    figure = Figure(figsize=(WIDTH, 4.6), layout="constrained")
    axes = figure.subplots()
    ratio, q1, q3 = (table[f"{phase}_{what}"] for what in ("ratio", "q1", "q3"))
    axes.vlines(table["parameters_m"], q1, q3, color=INK, linewidth=1, alpha=0.5)
    for name, x, y in zip(table["name"], table["parameters_m"], ratio, strict=True):
        axes.add_artist(AnnotationBbox(_squares(name), (x, y), frameon=False, pad=0))
    margin = 0.12 * (table["parameters_m"].max() - table["parameters_m"].min())
    axes.set(xlim=(table["parameters_m"].min() - margin, table["parameters_m"].max() + margin))
    spread = max(q3.max() - q1.min(), 0.02)
    axes.set(ylim=(q1.min() - 0.06 * spread, q3.max() + 0.06 * spread))
    axes.set(xlabel="parameters, M", ylabel=f"{phase} speed, Bottlenecks alone = 1")
    keys = [Patch(facecolor=BLUE, edgecolor=INK), Patch(facecolor="none", edgecolor=INK)]
    keys.append(Patch(facecolor="none", edgecolor=VERMILLION, linewidth=2))
    names = ("BasicBlock", "Bottleneck", "the paper's")
    figure.legend(
        keys,
        names,
        loc="outside upper center",
        ncols=3,
        handlelength=0.9,
        handletextpad=0.4,
        columnspacing=1.2,
    )
    told = [
        f"{n}: {p:.1f} M, {r:.2f}"
        for n, p, r in zip(table["name"], table["parameters_m"], ratio, strict=True)
    ]
    return figure, f"Parameters and {phase} speed relative to Bottlenecks alone. {'; '.join(told)}."


def _squares(name: str) -> DrawingArea:
    side, kinds = 6.5, name.split("-")
    area = DrawingArea(side * len(kinds), side)
    for i, kind in enumerate(kinds):
        fill = BLUE if kind == "basic" else "none"
        area.add_artist(
            Rectangle((i * side, 0), side, side, facecolor=fill, edgecolor=INK, linewidth=0.8)
        )
    if name == PAPERS_CHOICE:
        area.add_artist(
            Rectangle(
                (-3, -3),
                side * len(kinds) + 6,
                side + 6,
                fill=False,
                edgecolor=VERMILLION,
                linewidth=2,
            )
        )
    return area

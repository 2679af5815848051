"""The figures of the chapter on block types: two blocks, their windows, the roofline, the mixes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, DrawingArea
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import StrMethodFormatter
from torch import nn

from tresnet_lite.bench.roofline import Roofline
from tresnet_lite.counting.block_steps import block_steps
from tresnet_lite.experiments.blocks import BLOCK_LABELS, PAPERS_CHOICE, STEPS, main_path
from tresnet_lite.show.boxes import ACROSS, arrow, canvas, chain, shortcut, write
from tresnet_lite.show.marks import name_points, plain_ticks
from tresnet_lite.show.plots import chart, drawing, legend_above, stacked_bars
from tresnet_lite.show.style import BLUE, GREEN, INK, SERIES_COLOURS, SMALL, VERMILLION

BLOCK_COLOURS = {"basic": BLUE, "bottleneck": VERMILLION}
BLOCK_MARKERS = {"basic": "o", "bottleneck": "s"}
STEP_COLOURS = dict(zip(STEPS.values(), SERIES_COLOURS, strict=False))
FILLS = {"conv 3×3": BLUE, "SE": GREEN}
STEP, HEIGHT = 54.0, 36.0  # points from one box to the next, and of a box


@drawing
def residual_blocks(examples: Mapping[str, nn.Module]) -> tuple[Figure, str]:
    """Residual blocks side by side, as in the paper's figure 3, each step where it runs.

    Args:
        examples: name → a block that keeps its input's shape.
    """
    columns = {name: block_labels(block) for name, block in examples.items()}
    longest = max(len(labels) for labels, _ in columns.values())
    figure, axes = canvas(44 + STEP * longest + 72)
    pitch = ACROSS / len(columns)
    intro = f"The steps of {' and '.join(f'a {name}' for name in columns)} from top to bottom."
    clauses = []
    for i, (name, (labels, last)) in enumerate(columns.items()):
        middle = (i + 0.5) * pitch - 8  # the shortcut runs on the right
        channels = f"{main_path(examples[name])[0].conv.in_channels} channels"
        write(axes, middle, 10, name, weight="bold")
        write(axes, middle, 28, channels)
        spread = longest / len(labels)  # all columns end at one height
        tops = [52 + STEP * ((row + 0.5) * spread - 0.5) for row in range(len(labels))]
        arrow(axes, middle, 36, tops[0])
        chain(axes, middle, tops, labels, FILLS, width=104, height=HEIGHT)
        _sum(axes, middle, tops[-1] + HEIGHT, 52 + STEP * longest + 6, last)
        boxes = ", ".join(labels).replace("\n", " ")
        clauses.append(f"{name}, {channels}: {boxes}, plus the block's input, then {last}")
    return figure, f"{intro} {'; '.join(clauses)}."


def block_labels(block: nn.Module) -> tuple[list[str], str]:
    """What a block's boxes say, in the order in which they run, and the activation after the sum.

    A box is a convolution with its norm and activation, or SE.
    """
    units = main_path(block)
    widths = iter([unit.conv.out_channels for unit in units])
    *steps, last = block_steps(block, units[0].conv.in_channels)
    labels: list[str] = []
    for step in steps[: steps.index("sum")]:
        if step.startswith("conv"):
            labels.append(f"{step}, {next(widths)}")
        elif step == "SE":
            labels.append(f"SE\nthrough {block.se.fc1.out_channels}")
        else:
            word = step if step in ("norm", "blur") else "activation"
            labels[-1] += f", {word}" if "\n" in labels[-1] else f"\n{word}"
    return labels, last


def _sum(axes: Axes, middle: float, above: float, centre: float, activation: str) -> None:
    """The shortcut around a chain of boxes, the sum, and the activation after it."""
    shortcut(axes, (middle, 42), middle + 66, (middle + 9, centre))
    arrow(axes, middle, above, centre - 9)
    circle = {"boxstyle": "circle,pad=0.25", "facecolor": "none", "edgecolor": INK}
    write(axes, middle, centre, "+", weight="bold", bbox=circle | {"linewidth": 0.8})
    arrow(axes, middle, centre + 9, centre + 26)
    write(axes, middle, centre + 36, activation)


@drawing
def windows(
    sides: Mapping[str, Sequence[int]], depths: Sequence[int], image_size: int = 224
) -> tuple[Figure, str]:
    """How far an output sees after each block, stage by stage, in at most three networks.

    Args:
        sides: name → sides in pixels, the stem's first.
        depths: blocks of each stage.
    """
    figure, axes = chart(3.6)
    looks = ((BLUE, "o"), (GREEN, "D"), (VERMILLION, "s"))
    ends = [sum(depths[: i + 1]) for i in range(len(depths))]
    clauses = []
    for (name, values), (colour, marker) in zip(sides.items(), looks, strict=False):
        axes.plot(range(len(values)), values, color=colour, marker=marker, markersize=4, label=name)
        clauses.append(f"{name}: {values[ends[1]]} pixels after stage 2, {values[-1]} at the end")
    axes.axhline(image_size, color=INK, linewidth=0.8, linestyle="--")
    place = {"ha": "right", "va": "top", "fontsize": SMALL}
    axes.text(ends[-1], image_size * 0.9, f"the image, {image_size} px", **place)
    for end in ends[:-1]:
        axes.axvline(end + 0.5, color=INK, linewidth=0.5, alpha=0.4)
    axes.set_yscale("log", base=2)
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:.0f}"))
    centres = [(start + end + 1) / 2 for start, end in pairwise([0, *ends])]
    axes.set_xticks(centres, range(1, len(depths) + 1))
    axes.set(ylabel="window, px", xlabel="stage")
    axes.tick_params(axis="x", length=0)
    legend_above(figure, ncols=1, handletextpad=0.8)
    intro = "Side of the window of image pixels that one output sees, block by block."
    return figure, f"{intro} {'; '.join(clauses)}."


@drawing
def step_bars(times: Mapping[str, Mapping[str, float]]) -> tuple[Figure, str]:
    """The least time of each block on a V100, in parts by kind of step.

    Args:
        times: name → kind of step (`blocks.STEPS`) → µs per image.
    """
    return stacked_bars(
        times,
        STEP_COLOURS,
        unit="µs",
        label="least time on a V100, µs per image",
        intro="The least time of each block on a V100, step by step (float16, batch 32).",
    )


@drawing
def roofline(points: pd.DataFrame, roof: Roofline, conditions: str) -> tuple[Figure, str]:
    """The two ceilings, and below them each block, with quartiles, at its intensity and speed.

    Args:
        points: as `achieved` gives them.
        roof: the ceilings, measured on the same device.
        conditions: how the blocks ran, such as "batch 4, float32".
    """
    unit, name = (1e12, "TFLOP/s") if roof.arithmetic.median >= 1e12 else (1e9, "GFLOP/s")
    figure, axes = chart(4.2)
    low = min(points["intensity"].min(), roof.ridge) / 2
    high = max(points["intensity"].max(), roof.ridge) * 2
    ceilings = [roof.attainable(x) / unit for x in (low, roof.ridge, high)]
    axes.loglog((low, roof.ridge, high), ceilings, color=INK, linewidth=1.5)
    bandwidth, arithmetic = f"{roof.bandwidth.median / 1e9:.3g} GB/s", f"{ceilings[-1]:.3g} {name}"
    line = ceilings[-1] * 1.05
    axes.text(high, line, arithmetic, ha="right", va="bottom", fontsize=SMALL)
    axes.text(low * 1.04, line, bandwidth, va="bottom", fontsize=SMALL)
    for kind, part in points.groupby("block"):
        x, colour = part["intensity"], BLOCK_COLOURS[kind]
        fill = "full" if kind == "basic" else "none"
        axes.vlines(x, part["q1"] / unit, part["q3"] / unit, color=colour, linewidth=2)
        look = {"color": colour, "fillstyle": fill, "markeredgewidth": 1.8, "markersize": 7}
        axes.plot(x, part["flops"] / unit, BLOCK_MARKERS[kind], label=BLOCK_LABELS[kind], **look)
    clauses = []
    for row in points.itertuples():
        speed = row.flops / unit
        reached = f"{row.intensity:.0f} FLOP/byte, {speed:.3g} {name}"
        clauses.append(f"{row.name} of stage {row.stage}: {reached}")
    bottom = min(points["q1"].min() / unit, ceilings[0]) / 1.5
    top = max(points["q3"].max() / unit, ceilings[-1]) * 1.7
    axes.set(xlabel="FLOP for each byte moved", ylabel=name, xlim=(low, high), ylim=(bottom, top))
    plain_ticks(axes.xaxis)
    plain_ticks(axes.yaxis)
    legend_above(figure)
    stages = points["stage"].map(str)
    name_points(axes, stages, points["intensity"], points["flops"] / unit, size=SMALL)
    intro = f"The blocks under a roofline of {bandwidth} and {arithmetic} ({conditions})."
    return figure, f"{intro} {'; '.join(clauses)}."


@drawing
def mixes(table: pd.DataFrame, phase: str = "inference") -> tuple[Figure, str]:
    """Speed against parameters: each mix is four squares, the paper's choice with a frame.

    A filled square is a stage of BasicBlocks.

    Args:
        table: columns name, parameters_m, and for the phase …_ratio, …_low, …_high.
    """
    figure, axes = chart(4.6)
    parameters = table["parameters_m"]
    ratio, q1, q3 = (table[f"{phase}_{what}"] for what in ("ratio", "low", "high"))
    axes.vlines(parameters, q1, q3, color=INK, linewidth=1, alpha=0.5)
    clauses = []
    for name, x, y in zip(table["name"], parameters, ratio, strict=True):
        axes.add_artist(AnnotationBbox(_squares(name), (x, y), frameon=False, pad=0))
        clauses.append(f"{name}: {x:.1f} M, {y:.2f}")
    margin = 0.12 * (parameters.max() - parameters.min())
    spread = 0.06 * max(q3.max() - q1.min(), 0.02)
    axes.set(xlim=(parameters.min() - margin, parameters.max() + margin))
    axes.set(ylim=(q1.min() - spread, q3.max() + spread))
    axes.set(xlabel="parameters, M", ylabel=f"{phase} speed, Bottlenecks alone = 1")
    handles = [
        Patch(facecolor=BLUE, edgecolor=INK, label="BasicBlock"),
        Patch(facecolor="none", edgecolor=INK, label="Bottleneck"),
        Patch(facecolor="none", edgecolor=VERMILLION, linewidth=2, label="the paper's"),
    ]
    legend_above(figure, handles, ncols=3, handlelength=0.9, columnspacing=1.2)
    intro = (
        f"Parameters and {phase} speed of each mix of block types, relative to Bottlenecks alone."
    )
    return figure, f"{intro} {'; '.join(clauses)}."


def _squares(mix: str) -> DrawingArea:
    """A square for each stage, filled for BasicBlocks, and a frame around the paper's choice."""
    side, kinds = 6.5, mix.split("-")
    area = DrawingArea(side * len(kinds), side)
    for i, kind in enumerate(kinds):
        look = {"facecolor": BLUE if kind == "basic" else "none", "edgecolor": INK}
        area.add_artist(Rectangle((i * side, 0), side, side, linewidth=0.8, **look))
    if mix == PAPERS_CHOICE:
        frame = {"fill": False, "edgecolor": VERMILLION, "linewidth": 2}
        area.add_artist(Rectangle((-3, -3), side * len(kinds) + 6, side + 6, **frame))
    return area

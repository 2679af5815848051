"""The figures of the chapter that assembles the network: a block that shrinks, costs by block."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from torch import nn

from tresnet_lite.counting.shapes import shape_of
from tresnet_lite.counting.trace import trace
from tresnet_lite.experiments.whole_network import KINDS, REST
from tresnet_lite.show.blocks import FILLS, block_labels
from tresnet_lite.show.boxes import ACROSS, arrow, canvas, chain, write
from tresnet_lite.show.marks import rows
from tresnet_lite.show.plots import drawing, legend_above
from tresnet_lite.show.style import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    PURPLE,
    SKY,
    SMALL,
    VERMILLION,
    WIDTH,
)

KIND_COLOURS = dict(
    zip((*KINDS, REST), (BLUE, SKY, VERMILLION, ORANGE, GREEN, PURPLE, "none"), strict=True)
)
STEP, HEIGHT, TOP = 66.0, 48.0, 44.0  # points: from box to box, of a box, of the first
LEFT, RIGHT = 156.0, 118.0  # points: the widths of the two chains' boxes


@drawing
def shrinking_block(block: nn.Module, input_size: tuple[int, int, int]) -> tuple[Figure, str]:
    """A residual block of stride 2 and its shortcut side by side, each box with what it gives.

    Args:
        block: a block whose shortcut is an average and a convolution.
        input_size: (C, H, W), of the block's input.
    """
    calls = [call for call in trace(block, input_size) if not isinstance(call.module, nn.Identity)]
    shapes = {call.path: shape_of(call.output) for call in calls}
    labels, last = block_labels(block)
    paths = [path for path in shapes if path.startswith(("conv", "se")) and "." not in path]
    main = [f"{label}\n{shapes[path]}" for label, path in zip(labels, paths, strict=True)]
    around = [
        f"average 2×2\n{shapes['downsample.0']}",
        f"conv 1×1, norm\n{shapes['downsample.1']}",
    ]
    end = TOP + STEP * len(main) + 4
    figure, axes = canvas(end + 54)
    left, right = LEFT / 2 + 2, ACROSS - RIGHT / 2 - 2
    name = f"input {shape_of(input_size)}"
    write(axes, ACROSS / 2, 10, name, weight="bold")
    for middle in (left, right):
        axes.plot(
            (ACROSS / 2, ACROSS / 2, middle, middle), (18, 24, 24, 28), color=INK, linewidth=1
        )
        arrow(axes, middle, 24, TOP)
    tops = [TOP + STEP * row for row in range(len(main))]
    chain(axes, left, tops, main, FILLS, width=LEFT, height=HEIGHT)
    ends = [TOP, tops[-1]]
    chain(axes, right, ends, around, FILLS, width=RIGHT, height=HEIGHT)
    for middle in (left, right):
        corner = (middle, middle, ACROSS / 2)
        axes.plot(corner, (tops[-1] + HEIGHT, end, end), color=INK, linewidth=1)
    circle = {"boxstyle": "circle,pad=0.25", "facecolor": "none", "edgecolor": INK}
    arrow(axes, ACROSS / 2, end, end + 14)
    write(axes, ACROSS / 2, end + 22, "+", weight="bold", bbox=circle | {"linewidth": 0.8})
    write(axes, ACROSS / 2, end + 44, f"{last}, {shapes['']}")
    words = " Around it: ".join("; ".join(c).replace("\n", ", ") + "." for c in (main, around))
    kind = type(block).__name__
    intro = f"A {kind} of stride 2 (left) and its shortcut (right), with the shapes they give."
    return figure, f"{intro} The {name}. {words} Their sum goes through {last}."


@drawing
def costs_by_block(steps: pd.DataFrame, places: pd.DataFrame) -> tuple[Figure, str]:
    """The least time of an inference (left) and what training keeps (right), block by block.

    Args:
        steps: as `step_costs` gives them.
        places: as `place_costs` gives them.
    """
    times = steps.pivot_table(index="place", columns="kind", values="least_time", aggfunc="sum")
    times = times.reindex(places["place"]).fillna(0)
    figure = Figure(figsize=(WIDTH, 0.2 * len(places) + 2.1), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    names = places["place"].str.replace("stage ", "").str.replace(", block ", ".")
    border = {"alpha": 0.55, "edgecolor": INK, "linewidth": 0.5}
    start = 0.0
    for kind, colour in KIND_COLOURS.items():
        left.barh(range(len(places)), times[kind], left=start, color=colour, height=0.75, **border)
        start = start + times[kind].to_numpy()
    right.barh(range(len(places)), places["kept"], color=SKY, height=0.75, **border)
    rows(left, names, size=SMALL)
    right.tick_params(axis="y", left=False)
    right.spines["left"].set_visible(False)
    left.set(xlabel="least time,\nµs per image", ylabel="stage.block")
    right.set(xlabel="kept,\nMB per image")
    handles = [Patch(facecolor=c, label=kind, **border) for kind, c in KIND_COLOURS.items()]
    legend_above(figure, handles, handlelength=1.2)
    clauses = [
        f"{row.place}: {row.least_time:.1f} µs, {row.kept:.2f} MB" for row in places.itertuples()
    ]
    intro = "The least time of an inference on a V100, and what training keeps, block by block."
    return figure, f"{intro} {'; '.join(clauses)}."

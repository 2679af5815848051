"""What the chapter on squeeze-and-excitation draws: the mechanism, the blocks, and gates by class
and by image.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor, nn

from tresnet_lite.counting.block_steps import block_steps
from tresnet_lite.show.plots import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    PURPLE,
    SKY,
    SMALL,
    VERMILLION,
    WIDTH,
    arrow,
    box,
    canvas,
    drawing,
)
from tresnet_lite.show.plots import POINT as INCHES

CELL, ROW, LEFT, PITCH = 25.0, 60.0, 84.0, 58.0  # points
# Zero is the page's own colour, light or dark.
ENDS = [to_rgba(VERMILLION, 1), to_rgba(VERMILLION, 0), to_rgba(BLUE, 0), to_rgba(BLUE, 1)]
FROM_ZERO = LinearSegmentedColormap.from_list(
    "from_zero", list(zip((0, 0.5, 0.5, 1), ENDS, strict=True))
)


@drawing
def excitation(
    x: Tensor, squeezed: Tensor, hidden: Tensor, gate: Tensor, y: Tensor
) -> tuple[Figure, str]:
    """The numbers of a small example on their way: x and y (4, 2, 2), squeezed and gate (4,),
    hidden (2,).
    """
    figure, axes = canvas(5.8 * ROW)
    colours = (SKY, ORANGE, GREEN, PURPLE)
    across = [LEFT + PITCH * channel for channel in range(len(x))]
    between = [(a + b) / 2 for a, b in pairwise(across)]
    hidden_at = (between[0], between[-1])
    tops = [4, 1.6 * ROW, 2.6 * ROW, 3.6 * ROW, 4.7 * ROW + 4]
    high = {"x": 2 * CELL, "squeeze": CELL, "excite": CELL, "gate": CELL, "scale": 2 * CELL}
    for top, (name, size) in zip(tops, high.items(), strict=True):
        axes.text(2, top + size / 2, name, va="center", weight="bold")
    for middle, *parts, colour in zip(across, x, squeezed, gate, y, colours, strict=True):
        # as strong as the gate lets through
        strengths = (
            0.3,
            0.3,
            0.6 * parts[2].item(),
            0.6 * parts[2].item(),
        )
        for part, top, strength in zip(
            parts, (tops[0], tops[1], tops[3], tops[4]), strengths, strict=True
        ):
            _numbers(axes, part, middle, top, to_rgba(colour, strength))
        arrow(axes, middle, tops[0] + 2 * CELL, tops[1])
        arrow(axes, middle, tops[3] + CELL, tops[4])
        for h in hidden_at:
            for a, b, top in ((middle, h, tops[1]), (h, middle, tops[2])):
                axes.plot((a, b), (top + CELL, top + ROW), color=INK, linewidth=0.6, alpha=0.6)
    for middle, part in zip(hidden_at, hidden, strict=True):
        _numbers(axes, part, middle, tops[2], "none")
    return (
        figure,
        (
            f"Top to bottom: {len(x)} channels of 2×2 numbers, {_told(x)}; their averages,"
            f" {_told(squeezed)}; {len(hidden)} hidden numbers, {_told(hidden)}; the gates,"
            f" {_told(gate)}; the channels times their gates, {_told(y)}."
        ),
    )


def _numbers(axes: Axes, values: Tensor, middle: float, top: float, fill: tuple | str) -> None:
    """A grid of numbers, or a single one, below `top` and centred at `middle`."""
    grid = values.reshape(-1, values.shape[-1] if values.ndim else 1)
    left = middle - grid.shape[1] * CELL / 2
    for r, row in enumerate(grid.tolist()):
        for c, value in enumerate(row):
            x, y = left + c * CELL, top + r * CELL
            axes.add_patch(
                Rectangle((x, y), CELL, CELL, facecolor=fill, edgecolor=INK, linewidth=0.5)
            )
            axes.text(
                x + CELL / 2, y + CELL / 2, f"{value:.2g}", ha="center", va="center", fontsize=SMALL
            )


def _told(values: Tensor) -> str:
    return ", ".join(f"{value:.2g}" for value in values.flatten().tolist())


@drawing
def block_designs(designs: Mapping[str, tuple[nn.Module, int]]) -> tuple[Figure, str]:
    """Blocks side by side, step by step as they run, with SE marked: name → (block, its input's
    channels).
    """
    columns = {name: block_steps(block, channels) for name, (block, channels) in designs.items()}
    longest = max(map(len, columns.values()))
    figure, axes = canvas(44 + 33 * longest)
    pitch = WIDTH / INCHES / len(columns)
    for i, (name, steps) in enumerate(columns.items()):
        axes.text((i + 0.5) * pitch, 10, name, ha="center", va="center", weight="bold")
        # The last two boxes stand side by side, however many came before.
        rows = [*range(len(steps) - 2), longest - 2, longest - 1]
        _steps(axes, steps, [44 + 33.0 * row for row in rows], i * pitch + 10, (i + 1) * pitch - 12)
    told = [f"{name}: {', '.join(steps)}" for name, steps in columns.items()]
    return (
        figure,
        f"The steps of each block; a shortcut leads from the input to the sum. {'; '.join(told)}.",
    )


def _steps(
    axes: Axes, steps: Sequence[str], tops: Sequence[float], left: float, right: float
) -> None:
    """One column of boxes, the shortcut at its left."""
    colours, high = {"conv": BLUE, "SE": VERMILLION, "sum": GREEN}, 23.0
    boxes_from = left + 16
    middle = (boxes_from + right) / 2
    arrow(axes, middle, 20, tops[0])
    for step, top in zip(steps, tops, strict=True):
        colour = next((colour for word, colour in colours.items() if step.startswith(word)), "none")
        box(axes, boxes_from, top, right - boxes_from, high, colour, strong=step == "SE")
        axes.text(middle, top + high / 2, step, ha="center", va="center", fontsize=SMALL)
    for above, below in pairwise(tops):
        arrow(axes, middle, above + high, below)
    joins = tops[steps.index("sum")] + high / 2
    axes.plot((middle, left, left), (27, 27, joins), color=INK, linewidth=1)
    head = {"arrowstyle": "-|>", "color": INK, "shrinkA": 0, "shrinkB": 1}
    axes.annotate("", (boxes_from, joins), (left, joins), arrowprops=head)


@drawing
def by_class(layers: Mapping[str, Tensor], labels: Tensor, *, most: int = 12) -> tuple[Figure, str]:
    """Gates (N, C) averaged over each class, as deviations from the channel's own average: the
    `most` that vary most.

    A row a class, a column a channel, a panel a layer.
    """
    classes = labels.unique().tolist()
    figure = Figure(figsize=(WIDTH, 2.9 * len(layers) + 0.5), layout="constrained")
    panels = list(figure.subplots(len(layers), 1, squeeze=False).flat)
    deviations = {}
    for name, gate in layers.items():
        averages = torch.stack([gate[labels == label].mean(0) for label in classes])  # (K, C)
        off = averages - averages.mean(0)
        chosen = off.std(0).topk(min(most, off.shape[1])).indices
        deviations[name] = off[:, chosen]
    extreme = max(off.abs().max().item() for off in deviations.values())
    for axes, (name, off) in zip(panels, deviations.items(), strict=True):
        image = axes.imshow(
            off.cpu().numpy(), cmap=FROM_ZERO, vmin=-extreme, vmax=extreme, aspect="auto"
        )
        axes.set(
            title=name, yticks=range(len(classes)), yticklabels=classes, xticks=[], ylabel="digit"
        )
        axes.tick_params(left=False)
        axes.set_xlabel(f"{off.shape[1]} channels, those that vary most")
    bar = figure.colorbar(image, ax=panels, location="bottom", shrink=0.9, aspect=30)
    bar.set_label("gate, from the channel's average")
    told = [
        f"{name}: from {off.min():+.2f} to {off.max():+.2f}" for name, off in deviations.items()
    ]
    return (
        figure,
        (
            "Average gates of each digit, as deviations from each channel's average."
            f" {'; '.join(told)}."
        ),
    )


@drawing
def by_image(
    images: Tensor, gate: Tensor, average: Tensor, *, most: int = 16
) -> tuple[Figure, str]:
    """Images (N, 1, H, W), each beside its own gates (N, C): the `most` channels that vary most.

    A mark at each channel's average gate, `average` (C,), and a bar from there to the image's.
    """
    chosen = gate.std(0).topk(min(most, gate.shape[1])).indices
    shown, usual = gate[:, chosen].cpu(), average[chosen].cpu()
    figure = Figure(figsize=(WIDTH, 0.95 * len(images) + 0.35), layout="constrained")
    grid = figure.subplots(len(images), 2, width_ratios=(1, 4), squeeze=False)
    places = range(len(usual))
    for (left, right), image, gates in zip(grid, images.cpu(), shown, strict=True):
        left.imshow(image[0].numpy(), cmap="Greys_r", interpolation="none")
        left.axis("off")
        right.vlines(places, usual, gates, color=BLUE, linewidth=5)
        right.plot(places, usual, "_", color=INK, markersize=9, label="average")
        right.set(ylim=(0, 1), yticks=(0, 0.5, 1), xticks=[], ylabel="gate")
    grid[-1][1].set_xlabel(f"{len(usual)} channels")
    largest = (shown - usual).abs().amax(1)
    told = ", ".join(f"{off:.2f}" for off in largest.tolist())
    return (
        figure,
        (
            f"{len(images)} images and their gates. The largest deviation from the average in each:"
            f" {told}."
        ),
    )

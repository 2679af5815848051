"""What the chapter on squeeze-and-excitation draws: the mechanism, the blocks, and gates."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor, nn

from tresnet_lite.counting.block_steps import block_steps
from tresnet_lite.show.boxes import ACROSS, arrow, canvas, chain, shortcut, write
from tresnet_lite.show.plots import charts, drawing
from tresnet_lite.show.style import BLUE, GREEN, INK, ORANGE, PURPLE, SKY, SMALL, VERMILLION

CELL, ROW, LEFT, PITCH = 25.0, 60.0, 84.0, 58.0  # points
STEP_COLOURS = {"conv": BLUE, "SE": VERMILLION, "sum": GREEN}  # of a block's steps
# Zero is the page's own colour, light or dark.
ENDS = [to_rgba(VERMILLION, 1), to_rgba(VERMILLION, 0), to_rgba(BLUE, 0), to_rgba(BLUE, 1)]
FROM_ZERO = LinearSegmentedColormap.from_list(
    "from_zero", list(zip((0, 0.5, 0.5, 1), ENDS, strict=True))
)


@drawing
def excitation(
    x: Tensor, squeezed: Tensor, hidden: Tensor, gate: Tensor, y: Tensor
) -> tuple[Figure, str]:
    """The numbers of a small example on their way through SE, row by row from x to y.

    Args:
        x, y: (4, 2, 2).
        squeezed, gate: (4,).
        hidden: (2,).
    """
    figure, axes = canvas(5.8 * ROW)
    across = [LEFT + PITCH * channel for channel in range(len(x))]
    hidden_across = [(across[0] + across[1]) / 2, (across[-2] + across[-1]) / 2]
    tops = [4, 1.6 * ROW, 2.6 * ROW, 3.6 * ROW, 4.7 * ROW + 4]
    high = {"x": 2 * CELL, "squeeze": CELL, "excite": CELL, "gate": CELL, "scale": 2 * CELL}
    for top, (name, size) in zip(tops, high.items(), strict=True):
        axes.text(2, top + size / 2, name, va="center", weight="bold")
    for c, (middle, colour) in enumerate(zip(across, (SKY, ORANGE, GREEN, PURPLE), strict=True)):
        passed = to_rgba(colour, 0.6 * gate[c].item())  # as strong as the gate lets through
        _numbers(axes, x[c], middle, tops[0], to_rgba(colour, 0.3))
        _numbers(axes, squeezed[c], middle, tops[1], to_rgba(colour, 0.3))
        _numbers(axes, gate[c], middle, tops[3], passed)
        _numbers(axes, y[c], middle, tops[4], passed)
        arrow(axes, middle, tops[0] + 2 * CELL, tops[1])
        arrow(axes, middle, tops[3] + CELL, tops[4])
        for h in hidden_across:
            for ends, top in (((middle, h), tops[1]), ((h, middle), tops[2])):
                axes.plot(ends, (top + CELL, top + ROW), color=INK, linewidth=0.6, alpha=0.6)
    for middle, value in zip(hidden_across, hidden, strict=True):
        _numbers(axes, value, middle, tops[2], "none")
    description = (
        "The three steps of squeeze-and-excitation, from top to bottom."
        f" {len(x)} channels of 2×2 numbers, {_listed(x)}; their averages,"
        f" {_listed(squeezed)}; {len(hidden)} hidden numbers, {_listed(hidden)}; the gates,"
        f" {_listed(gate)}; the channels times their gates, {_listed(y)}."
    )
    return figure, description


def _numbers(axes: Axes, values: Tensor, middle: float, top: float, fill: tuple | str) -> None:
    """A grid of numbers, or a single one, below `top` and centred at `middle`."""
    grid = torch.atleast_2d(values)
    left = middle - grid.shape[1] * CELL / 2
    for r, row in enumerate(grid.tolist()):
        for c, value in enumerate(row):
            x, y = left + c * CELL, top + r * CELL
            cell = Rectangle((x, y), CELL, CELL, facecolor=fill, edgecolor=INK, linewidth=0.5)
            axes.add_patch(cell)
            write(axes, x + CELL / 2, y + CELL / 2, f"{value:.2g}", fontsize=SMALL)


def _listed(values: Tensor) -> str:
    return ", ".join(f"{value:.2g}" for value in values.flatten().tolist())


@drawing
def block_designs(designs: Mapping[str, tuple[nn.Module, int]]) -> tuple[Figure, str]:
    """Blocks side by side, each step where it runs, with SE marked and the shortcut at the left.

    Args:
        designs: name → (block, its input's channels).
    """
    columns = {name: block_steps(block, channels) for name, (block, channels) in designs.items()}
    longest = max(map(len, columns.values()))
    figure, axes = canvas(44 + 33 * longest)
    pitch, height = ACROSS / len(columns), 23.0
    for i, (name, steps) in enumerate(columns.items()):
        write(axes, (i + 0.5) * pitch, 10, name, weight="bold")
        # The last two boxes stand side by side, however many came before.
        tops = [44 + 33.0 * row for row in (*range(len(steps) - 2), longest - 2, longest - 1)]
        left, width = i * pitch + 26, pitch - 38
        middle = left + width / 2
        arrow(axes, middle, 20, tops[0])
        chain(axes, middle, tops, steps, STEP_COLOURS, width=width, height=height, strong=["SE"])
        shortcut(axes, (middle, 27), left - 16, (left, tops[steps.index("sum")] + height / 2))
    clauses = [f"{name}: {', '.join(steps)}" for name, steps in columns.items()]
    intro = "The steps of each block, with a shortcut from the input to the sum."
    return figure, f"{intro} {'; '.join(clauses)}."


@drawing
def by_class(layers: Mapping[str, Tensor], labels: Tensor, *, most: int = 12) -> tuple[Figure, str]:
    """A panel for each layer: gates averaged over each class, from the channel's own average.

    A row is a class, a column one of the `most` channels that vary most.

    Args:
        layers: name → gates (N, C).
        labels: classes (N,).
    """
    classes = labels.unique().tolist()
    deviations = {}
    for name, gate in layers.items():
        averages = torch.stack([gate[labels == label].mean(0) for label in classes])  # (K, C)
        off = averages - averages.mean(0)
        deviations[name] = off[:, _most_varied(off, most)].cpu()
    extreme = max(off.abs().max().item() for off in deviations.values())
    scale = {"cmap": FROM_ZERO, "vmin": -extreme, "vmax": extreme}
    figure, panels = charts(len(layers), 2.9 * len(layers) + 0.5, sharex=False)
    clauses = []
    for axes, (name, off) in zip(panels, deviations.items(), strict=True):
        image = axes.imshow(off.numpy(), aspect="auto", **scale)
        axes.set(title=name, yticks=range(len(classes)), yticklabels=classes, ylabel="digit")
        axes.set(xticks=[], xlabel=f"{off.shape[1]} channels, those that vary most")
        axes.tick_params(left=False)
        clauses.append(f"{name}: from {off.min():+.2f} to {off.max():+.2f}")
    bar = figure.colorbar(image, ax=panels, location="bottom", shrink=0.9, aspect=30)
    bar.set_label("gate, from the channel's average")
    intro = "Average gates of each digit, relative to each channel's average."
    return figure, f"{intro} {'; '.join(clauses)}."


def _most_varied(gate: Tensor, most: int) -> Tensor:
    """The channels (at most `most`) that vary most over the rows of (N, C)."""
    return gate.std(0).topk(min(most, gate.shape[1])).indices

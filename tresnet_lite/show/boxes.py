"""Boxes and arrows: chains of steps side by side, in points from the upper left corner."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise
from typing import Any

from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from tresnet_lite.show.style import INK, POINT, SMALL, WIDTH

ACROSS = WIDTH / POINT  # points
HEAD = {"arrowstyle": "-|>", "color": INK, "shrinkA": 1, "shrinkB": 1}


def canvas(height: float) -> tuple[Figure, Axes]:
    """A figure of the standard width with one bare set of axes, `ACROSS` × `height` points."""
    figure = Figure(figsize=(WIDTH, height * POINT))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, ACROSS), ylim=(height, 0))
    axes.axis("off")
    return figure, axes


def write(axes: Axes, x: float, y: float, text: str, **style: Any) -> None:
    """Text centred at a point."""
    axes.text(x, y, text, ha="center", va="center", **style)


def box(
    axes: Axes,
    left: float,
    top: float,
    width: float,
    height: float,
    colour: str,
    *,
    strong: bool = False,
    dotted: bool = False,
) -> None:
    """A rounded box; a strong one has a thick border of its colour."""
    edge, line = (colour, 2.5) if strong else (INK, 0.8)
    shape, dashes = "round,pad=0,rounding_size=5", ":" if dotted else "-"
    look = {"facecolor": to_rgba(colour, 0.3), "edgecolor": edge, "linewidth": line}
    outline = FancyBboxPatch((left, top), width, height, shape, linestyle=dashes, **look)
    axes.add_patch(outline)


def arrow(axes: Axes, x: float, top: float, bottom: float) -> None:
    """An arrow straight down."""
    axes.annotate("", (x, bottom), (x, top), arrowprops=HEAD)


def chain(
    axes: Axes,
    middle: float,
    tops: Sequence[float],
    labels: Sequence[str],
    colours: Mapping[str, str],
    *,
    width: float,
    height: float,
    strong: Collection[str] = (),
) -> None:
    """Labelled boxes below each other, an arrow from each to the next.

    Args:
        tops: of the boxes, in points.
        colours: what a label begins with → its box's colour; other boxes are empty.
        strong: labels of the boxes that are marked.
    """
    for top, label in zip(tops, labels, strict=True):
        colour = next((c for start, c in colours.items() if label.startswith(start)), "none")
        box(axes, middle - width / 2, top, width, height, colour, strong=label in strong)
        write(axes, middle, top + height / 2, label, fontsize=SMALL, linespacing=1.3)
    for above, below in pairwise(tops):
        arrow(axes, middle, above + height, below)


def shortcut(axes: Axes, start: tuple[float, float], side: float, end: tuple[float, float]) -> None:
    """A line around a chain, from `start` out to x = `side`, and an arrow back to `end`."""
    corners = (start, (side, start[1]), (side, end[1]))
    axes.plot(*zip(*corners, strict=True), color=INK, linewidth=1)
    axes.annotate("", end, corners[-1], arrowprops=HEAD | {"shrinkA": 0})

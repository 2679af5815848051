"""Figures that read well on white, on black and on a phone.

Every function returns one inline SVG with a text that describes it. Its lines and letters take the
page's own text colour, so the page decides between light and dark; fills are translucent, of a
palette that colour-blind readers can tell apart (Okabe and Ito). Figures are narrow and tall: in a
column of 360 pixels the letters are still 9 points.
"""

from __future__ import annotations

import html
import io
import re
from collections.abc import Callable, Sequence
from functools import wraps
from typing import TYPE_CHECKING, ParamSpec

import matplotlib
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from tresnet_lite.show.html import Html

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


BLUE, VERMILLION, GREEN, ORANGE, SKY, PURPLE = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#E69F00",
    "#56B4E9",
    "#CC79A7",
)
INK = "#010203"  # drawn with in place of black, then replaced by the page's text colour
WIDTH = 4.0  # inches
SMALL = 9.6  # points in the drawing, 9 points in a column of 360 pixels
POINT = 1 / 72  # inches
STYLE = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial", "sans-serif"],
    "font.size": 10.5,
    "axes.titlesize": 10.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "legend.frameon": False,
    "svg.fonttype": "none",  # letters stay letters: small, searchable, in the page's size
    "svg.hashsalt": "tresnet_lite",  # the same figure is the same file
    **dict.fromkeys(
        (
            "text.color",
            "axes.edgecolor",
            "axes.labelcolor",
            "axes.titlecolor",
            "xtick.color",
            "ytick.color",
        ),
        INK,
    ),
}

P = ParamSpec("P")


def drawing(draw: Callable[P, tuple[Figure, str]]) -> Callable[P, Html]:
    """Turn a function that draws into one that returns the drawing, in the style above."""

    @wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> Html:
        with matplotlib.rc_context(STYLE):
            figure, description = draw(*args, **kwargs)
            return inline_svg(figure, description, _code(draw))

    return drawn


def _code(draw: Callable) -> str:
    """Where a function stands in the checkout: "tresnet_lite/plots.py#L123"."""
    return f"{draw.__module__.replace('.', '/')}.py#L{draw.__code__.co_firstlineno}"


def inline_svg(figure: Figure, description: str, code: str) -> Html:
    """The figure as an `<svg>` element that takes the page's text colour and shrinks with the page.

    `code` tells where it was drawn; the book makes a link of it.
    """
    file = io.StringIO()
    figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    svg = file.getvalue()
    viewbox = re.search(r'viewBox="[^"]*"', svg)[0]
    drawn = svg[svg.index("<g id=") :]
    # numbered from 1 in each figure: they would clash on a page
    drawn = re.sub(r' id="[a-z0-9]+_\d+"', "", drawn)
    drawn = drawn.replace(INK, "currentColor")
    opening = (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
        f' {viewbox} role="img" '
        f'aria-label="{html.escape(description)}" data-code="{code}" style="display:block;'
        'width:min(100%,27rem);height:auto;margin:auto;stroke-linejoin:round;stroke-linecap:butt">'
    )
    return Html(opening + drawn, description)


def canvas(height: float) -> tuple[Figure, Axes]:
    """A figure of the standard width with one bare set of axes, in points from the upper left
    corner.
    """
    figure = Figure(figsize=(WIDTH, height * POINT))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, WIDTH / POINT), ylim=(height, 0))
    axes.axis("off")
    return figure, axes


def box(
    axes: Axes,
    left: float,
    top: float,
    width: float,
    height: float,
    colour: str,
    *,
    strong: bool = False,
) -> None:
    """A rounded box; a strong one has a thick border of its colour."""
    fill = matplotlib.colors.to_rgba(colour, 0.3)
    edge = (
        {"edgecolor": colour, "linewidth": 2.5} if strong else {"edgecolor": INK, "linewidth": 0.8}
    )
    axes.add_patch(
        FancyBboxPatch(
            (left, top),
            width,
            height,
            boxstyle="round,pad=0,rounding_size=5",
            facecolor=fill,
            **edge,
        )
    )


def arrow(axes: Axes, x: float, top: float, bottom: float) -> None:
    axes.annotate(
        "",
        (x, bottom),
        (x, top),
        arrowprops={"arrowstyle": "-|>", "color": INK, "shrinkA": 1, "shrinkB": 1},
    )


@drawing
def pictures(
    images: Sequence[tuple[str, ArrayLike]], *, columns: int, description: str
) -> tuple[Figure, str]:
    """Images under their names, `columns` in a row: (H, W, 3) in [0, 1], or (H, W) around 0 in two
    colours.
    """
    rows = -(-len(images) // columns)
    figure = Figure(figsize=(WIDTH, rows * (WIDTH / columns + 0.22)), layout="constrained")
    grid = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes in grid:
        axes.axis("off")
    for axes, (name, image) in zip(grid, images, strict=False):
        image = torch.as_tensor(image)
        extreme = image.abs().max().item()
        options = {"cmap": "PuOr", "vmin": -extreme, "vmax": extreme} if image.ndim == 2 else {}
        axes.imshow(image.numpy(), interpolation="none", **options)
        axes.set_title(name, pad=2)
    return figure, description


@drawing
def ratios(table: pd.DataFrame, *, base: str, description: str = "") -> tuple[Figure, str]:
    """Measured speeds as ratios to `base`, with quartiles, beside the paper's where it prints one.

    Args:
        table: columns name, phase, ratio, ratio_q1, ratio_q3, and paper_ratio (NaN: not printed).
        description: what the text begins with; default: "Speed relative to" the base.
    """
    phases = list(dict.fromkeys(table["phase"]))
    names = list(dict.fromkeys(table["name"]))
    figure = Figure(
        figsize=(WIDTH, len(phases) * (0.7 + 0.3 * len(names)) + 0.5), layout="constrained"
    )
    for axes, phase in zip(
        figure.subplots(len(phases), 1, sharex=True, squeeze=False).flat, phases, strict=True
    ):
        rows = table[table["phase"] == phase]
        places = [names.index(name) for name in rows["name"]]
        axes.axvline(1, color=INK, linewidth=0.8, alpha=0.5)
        axes.hlines(places, rows["ratio_q1"], rows["ratio_q3"], color=BLUE, linewidth=3)
        axes.plot(rows["ratio"], places, "o", color=BLUE, label="measured, with quartiles")
        hollow = {"color": VERMILLION, "fillstyle": "none", "markeredgewidth": 2, "markersize": 8}
        if rows["paper_ratio"].notna().any():
            axes.plot(rows["paper_ratio"], places, "D", label="paper", **hollow)
        axes.set(
            title=phase, yticks=range(len(names)), yticklabels=names, ylim=(len(names) - 0.5, -0.5)
        )
        axes.tick_params(left=False)
        axes.spines["left"].set_visible(False)
    # Under the figure and not under the axes, which long names make narrower than this line.
    figure.supxlabel(f"speed, {base} = 1 (right is faster)", fontsize=STYLE["font.size"])
    figure.legend(
        *figure.axes[0].get_legend_handles_labels(),
        loc="outside upper center",
        ncols=2,
        handletextpad=0.3,
    )
    told = [
        f"{row.phase}, {row.name}: {f'{row.ratio:.2f}' if row.ratio > 0 else 'not measured'}"
        + (f" (paper {row.paper_ratio:.2f})" if row.paper_ratio > 0 else "")
        for row in table.itertuples(index=False)
    ]
    return figure, f"{description or f'Speed relative to {base}.'} {'; '.join(told)}."

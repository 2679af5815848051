"""Figures that read well on white, on black and on a phone.

Every drawing is one inline SVG with a text that describes it. Its lines and letters take the page's
own text colour, so the page decides between light and dark; fills are translucent. Figures are
narrow and tall: in a column of 360 pixels the letters are still 9 points.

A drawing begins with `chart` or `charts`. What many of them show is in `marks`, boxes and arrows
are in `boxes`, and colours and sizes in `style`.
"""

from __future__ import annotations

import html
import io
import re
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any, ParamSpec

import matplotlib
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import ArrayLike

from tresnet_lite.show.html import Html
from tresnet_lite.show.marks import intervals, paper_marks, rows
from tresnet_lite.show.style import INK, STYLE, WIDTH
from tresnet_lite.show.text import as_html

P = ParamSpec("P")


def drawing(draw: Callable[P, tuple[Figure, str]]) -> Callable[P, Html]:
    """Turn a function that draws into one that returns the drawing, in our style."""

    @wraps(draw)
    def draw_in_style(*args: P.args, **kwargs: P.kwargs) -> Html:
        with matplotlib.rc_context(STYLE):
            figure, description = draw(*args, **kwargs)
            return inline_svg(figure, description, _code(draw))

    return draw_in_style


def _code(draw: Callable) -> str:
    """Where a function stands in the checkout: "tresnet_lite/show/plots.py#L123"."""
    return f"{draw.__module__.replace('.', '/')}.py#L{draw.__code__.co_firstlineno}"


def inline_svg(figure: Figure, description: str, code: str) -> Html:
    """The figure as an `<svg>` element that takes the page's text colour and shrinks with the page.

    `code` is where it was drawn; the book makes a link of it.
    """
    file = io.StringIO()
    figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    svg = file.getvalue()
    viewbox = re.search(r'viewBox="[^"]*"', svg)[0]
    body = svg[svg.index("<g id=") :]
    # numbered from 1 in each figure: they would clash on a page
    body = re.sub(r' id="[a-z0-9]+_\d+"', "", body)
    body = body.replace(INK, "currentColor")
    body = re.sub(r"(?<=>)[^<>]*[^<>\s][^<>]*(?=<)", lambda m: as_html(html.unescape(m[0])), body)
    opening = (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
        f' {viewbox} role="img" '
        f'aria-label="{as_html(description)}" data-code="{code}" style="display:block;'
        'width:min(100%,27rem);height:auto;margin:auto;stroke-linejoin:round;stroke-linecap:butt">'
    )
    return Html(opening + body, description)


def chart(height: float) -> tuple[Figure, Axes]:
    """A figure of the standard width and `height` inches with one set of axes."""
    figure, (axes,) = charts(1, height)
    return figure, axes


def charts(
    count: int, height: float, *, sharex: bool = True, heights: Sequence[float] | None = None
) -> tuple[Figure, list[Axes]]:
    """The same with `count` sets of axes below each other; their `heights` are relative."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    grid = figure.subplots(count, 1, sharex=sharex, squeeze=False, height_ratios=heights)
    return figure, list(grid.flat)


def legend_above(figure: Figure, handles: Sequence[Any] | None = None, **options: Any) -> None:
    """A legend above the axes: of what the first axes label, or of `handles`."""
    handles = handles or figure.axes[0].get_legend_handles_labels()[0]
    defaults = {"loc": "outside upper center", "ncols": 2, "handletextpad": 0.4}
    figure.legend(handles=handles, **defaults | options)


def speed_label(figure: Figure, base: str) -> None:
    """What the horizontal axis is: speeds as ratios to `base`.

    It stands under the figure and not under the axes, which long names make narrower than the line.
    """
    figure.supxlabel(f"speed, {base} = 1 (right is faster)", fontsize=STYLE["font.size"])


def stacked_bars(
    bars: Mapping[str, Mapping[str, float]],
    colours: Mapping[str, str],
    *,
    unit: str,
    label: str,
    intro: str,
) -> tuple[Figure, str]:
    """A bar for each name, its parts end to end, with the total written above it.

    Args:
        bars: name → part → size. Parts of at most 0.05 are not named: nobody can see them.
        colours: part → its colour; the legend has this order.
        unit: of the sizes; `label` is the axis's.
        intro: what the figure shows, a sentence.
    """
    figure, axes = chart(0.62 * len(bars) + 1.9)
    border = {"alpha": 0.55, "edgecolor": INK, "linewidth": 0.6}
    looks = {part: {"facecolor": colour, **border} for part, colour in colours.items()}
    handles, clauses = {}, []
    for place, (name, parts) in enumerate(bars.items()):
        left = 0.0
        for part, size in parts.items():
            axes.barh(place, size, left=left, height=0.52, **looks[part])
            left += size
        seen = {part: size for part, size in parts.items() if size > 0.05}
        handles |= {part: Patch(label=part, **looks[part]) for part in seen}
        axes.text(0, place - 0.42, f"{name}: {left:.1f} {unit}", va="center")
        sizes = ", ".join(f"{part} {size:.1f}" for part, size in seen.items())
        clauses.append(f"{name} {left:.1f} {unit} ({sizes})")
    axes.set(ylim=(len(bars) - 0.6, -0.75), yticks=[], xlabel=label)
    axes.spines["left"].set_visible(False)
    order = [handles[part] for part in colours if part in handles]
    legend_above(figure, order, loc="outside upper left", ncols=1, handlelength=1.2)
    return figure, f"{intro} {'; '.join(clauses)}."


@drawing
def pictures(
    images: Sequence[tuple[str, ArrayLike]], *, columns: int, description: str
) -> tuple[Figure, str]:
    """Images under their names, `columns` in a row.

    An image is (H, W, 3) in [0, 1], or (H, W) around 0, shown in two colours.
    """
    lines = -(-len(images) // columns)
    figure = Figure(figsize=(WIDTH, lines * (WIDTH / columns + 0.22)), layout="constrained")
    grid = list(figure.subplots(lines, columns, squeeze=False).flat)
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
    """Measured speeds as ratios to `base`, with intervals, beside the paper's where it prints one.

    Args:
        table: columns name, phase, ratio, ratio_low and ratio_high (its interval), and paper_ratio
            (NaN: not printed).
        description: what the text begins with; default: "Speed relative to" the base.
    """
    phases, names = table["phase"].unique(), list(table["name"].unique())
    lines = max(name.count("\n") + 1 for name in names)
    row = 0.3 if lines == 1 else 0.19 * lines
    figure, panels = charts(len(phases), len(phases) * (0.7 + row * len(names)) + 0.5)
    for axes, phase in zip(panels, phases, strict=True):
        lines = table[table["phase"] == phase]
        places = lines["name"].map(names.index)
        axes.set_title(phase)
        rows(axes, names, reference=1)
        quartiles = lines["ratio_low"], lines["ratio_high"]
        intervals(axes, places, lines["ratio"], *quartiles, label="measured, with its interval")
        if lines["paper_ratio"].notna().any():
            paper_marks(axes, lines["paper_ratio"], places)
    speed_label(figure, base)
    legend_above(figure)
    clauses = [
        f"{row.phase}, {row.name}: {f'{row.ratio:.2f}' if row.ratio > 0 else 'not measured'}"
        + (f" (paper {row.paper_ratio:.2f})" if row.paper_ratio > 0 else "")
        for row in table.itertuples(index=False)
    ]
    return figure, f"{description or f'Speed relative to {base}.'} {'; '.join(clauses)}."

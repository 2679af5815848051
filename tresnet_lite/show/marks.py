"""What many drawings show in a set of axes: rows, intervals, the paper's values, plain ticks."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from fractions import Fraction

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import LogLocator, NullFormatter, NullLocator, StrMethodFormatter
from matplotlib.transforms import Bbox
from numpy.typing import ArrayLike

from tresnet_lite.show.style import BLUE, INK, PAPER, STYLE

# Where a name may stand, in points from its own: right, left, above, below, and the corners.
AROUND = [
    {"xytext": (7, 0), "ha": "left", "va": "center"},
    {"xytext": (-7, 0), "ha": "right", "va": "center"},
    {"xytext": (0, 6), "ha": "center", "va": "bottom"},
    {"xytext": (0, -6), "ha": "center", "va": "top"},
    {"xytext": (5, 5), "ha": "left", "va": "bottom"},
    {"xytext": (-5, -5), "ha": "right", "va": "top"},
    {"xytext": (5, -5), "ha": "left", "va": "top"},
    {"xytext": (-5, 5), "ha": "right", "va": "bottom"},
]
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def plain_ticks(axis: Axis, values: Sequence[float] | None = None) -> None:
    """Plain numbers on a logarithmic axis: `values`, or 1, 2 and 5 times the powers of ten."""
    if values is None:
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    else:
        axis.set_ticks(values)
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_locator(NullLocator())


def powers_of_ten(axis: Axis) -> None:
    """Labels such as 10⁻³ on a logarithmic axis, in letters: figures parse no TeX."""

    def label(value: float, _: int) -> str:
        return "10" + f"{math.log10(value):.0f}".translate(SUPERSCRIPTS)

    axis.set_major_formatter(label)
    axis.set_minor_formatter(NullFormatter())


def rows(
    axes: Axes,
    names: Collection[str],
    *,
    reference: float | None = None,
    size: float = STYLE["font.size"],
) -> None:
    """A row beside each name, from the top down, and a thin line at the value `reference`."""
    if reference is not None:
        axes.axvline(reference, color=INK, linewidth=0.8, alpha=0.5)
    bottom = max(len(names), 1) - 0.5
    axes.set(yticks=range(len(names)), yticklabels=list(names), ylim=(bottom, -0.5))
    axes.tick_params(axis="y", left=False, labelsize=size)
    axes.spines["left"].set_visible(False)


def intervals(
    axes: Axes,
    places: ArrayLike,
    values: ArrayLike,
    low: ArrayLike,
    high: ArrayLike,
    *,
    label: str = "",
    look: tuple[str, str] = (BLUE, "o"),
    alpha: float = 1,
) -> None:
    """Values in the rows `places`: points, each on a horizontal bar from `low` to `high`.

    Args:
        look: colour and marker.
        alpha: opacity of the bars.
    """
    colour, marker = look
    axes.hlines(places, low, high, color=colour, linewidth=3, alpha=alpha)
    axes.plot(values, places, marker, color=colour, label=label)


def paper_marks(
    axes: Axes, x: ArrayLike, y: ArrayLike, *, label: str = "paper", size: float = 8
) -> None:
    """The paper's values: hollow diamonds, `size` points wide."""
    axes.plot(x, y, **PAPER | {"markersize": size}, label=label)


def name_points(
    axes: Axes, names: Sequence[str], x: Sequence[float], y: Sequence[float], *, size: float
) -> None:
    """Write each point's name beside it, where it covers no point and no other name.

    Call it last: the axes' limits must be set. Of the places around a point the first free one is
    taken; where none is, the first.
    """
    axes.figure.draw_without_rendering()  # else nobody knows where a point will be
    points = axes.transData.transform(list(zip(x, y, strict=True)))
    taken = [Bbox.from_extents(px - 5, py - 5, px + 5, py + 5) for px, py in points]
    for name, place in zip(names, zip(x, y, strict=True), strict=True):
        options = [
            axes.annotate(name, place, textcoords="offset points", fontsize=size, **around)
            for around in AROUND
        ]
        boxes = [option.get_window_extent() for option in options]
        free = [n for n, box in enumerate(boxes) if not any(map(box.overlaps, taken))]
        chosen = free[0] if free else 0
        taken.append(boxes[chosen])
        for n, option in enumerate(options):
            if n != chosen:
                option.remove()


def accuracy_axes(
    axes: Axes, ticks: Sequence[float], *, xlim: tuple[float, float], ylim: tuple[float, float]
) -> None:
    """Axes for accuracy against speed: top-1 over the logarithm of a ratio, with fractions."""
    axes.set(xscale="log", ylabel="top-1, % (quoted)", xlim=xlim, ylim=ylim)
    axes.set_xticks(ticks, [str(Fraction(tick)) for tick in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.grid(color=INK, alpha=0.15)

"""Table 4: the ladder from ResNet50 to TResNet-M, a rung for each refinement: sizes, and
waterfalls.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

from matplotlib.figure import Figure

from tresnet_lite.show.plots import GREEN, INK, SMALL, VERMILLION, WIDTH, drawing


@drawing
def waterfall(
    panels: Mapping[str, Mapping[str, float]], *, what: str, unit: str = ""
) -> tuple[Figure, str]:
    """For each panel the rungs from top to bottom: a bar from the rung before to this one, green
    up, red down.

    Args:
        panels: title → rung → value.
        what: the axis' label.
        unit: of the values, in the description; ratios have none.
    """
    rungs = list(dict.fromkeys(rung for values in panels.values() for rung in values))
    figure = Figure(
        figsize=(WIDTH, len(panels) * (0.4 + 0.27 * len(rungs)) + 0.4), layout="constrained"
    )
    every = [value for values in panels.values() for value in values.values()]
    room = 0.16 * (max(every) - min(every))
    told = []
    grid = figure.subplots(len(panels), sharex=True, squeeze=False).flat
    for axes, (title, values) in zip(grid, panels.items(), strict=True):
        first, *_ = values.values()
        axes.axvline(first, color=INK, linewidth=0.8, alpha=0.4)
        axes.plot(first, 0, "o", color=INK, markersize=5)
        for (_, before), (rung, value) in pairwise(values.items()):
            colour = GREEN if value >= before else VERMILLION
            place = rungs.index(rung)
            axes.barh(
                place,
                value - before,
                left=before,
                height=0.62,
                color=colour,
                alpha=0.6,
                edgecolor=colour,
            )
            axes.vlines(
                value, place, min(place + 1, len(rungs) - 1), color=INK, linewidth=0.6, alpha=0.5
            )
            axes.text(
                max(value, before),
                place,
                f"  {_change(before, value, unit)}",
                va="center",
                fontsize=SMALL - 1,
            )
        axes.set(
            title=title, yticks=range(len(rungs)), yticklabels=rungs, ylim=(len(rungs) - 0.5, -0.5)
        )
        axes.set_xlim(min(every) - room / 3, max(every) + 2.2 * room)
        axes.tick_params(left=False, axis="y", labelsize=SMALL)
        axes.spines["left"].set_visible(False)
        told.append(
            f"{title}: {', '.join(f'{rung} {value:.3g}{unit}' for rung, value in values.items())}"
        )
    figure.axes[-1].set_xlabel(what)
    return figure, f"{what}, rung by rung. {'; '.join(told)}."


def _change(before: float, after: float, unit: str) -> str:
    """Points for a percentage, per cent for a ratio."""
    return f"{after - before:+.1f}" if unit else f"{after / before - 1:+.1%}"

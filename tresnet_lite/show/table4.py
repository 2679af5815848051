"""Table 4: the ladder from ResNet50 to TResNet-M, rung by rung: sizes, and waterfalls."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

from matplotlib.figure import Figure

from tresnet_lite.show.marks import rows
from tresnet_lite.show.plots import charts, drawing
from tresnet_lite.show.style import GREEN, INK, SMALL, VERMILLION

HALF = 0.31  # of a bar's height


@drawing
def waterfall(
    panels: Mapping[str, Mapping[str, float]], *, what: str, unit: str = ""
) -> tuple[Figure, str]:
    """For each panel, from rung to rung downwards, a bar for the change: green up, orange down.

    Args:
        panels: title → rung → value.
        what: the axis' label.
        unit: of the values, in the description; ratios have none.
    """
    rungs = list(dict.fromkeys(rung for values in panels.values() for rung in values))
    largest = max(max(values.values()) for values in panels.values())
    least = min(min(values.values()) for values in panels.values())
    room = 0.16 * (largest - least)  # for a bar's text
    figure, grid = charts(len(panels), len(panels) * (0.4 + 0.27 * len(rungs)) + 0.4)
    clauses = []
    for axes, (title, values) in zip(grid, panels.items(), strict=True):
        first = next(iter(values.values()))
        rows(axes, rungs, reference=first, size=SMALL)
        axes.plot(first, 0, "o", color=INK, markersize=5)
        for (_, before), (rung, value) in pairwise(values.items()):
            place, change = rungs.index(rung), value - before
            colour = GREEN if change >= 0 else VERMILLION
            bar = {"height": 2 * HALF, "color": colour, "alpha": 0.6, "edgecolor": colour}
            axes.barh(place, change, left=before, **bar)
            below = min(place + 1, len(rungs) - 1)
            # from bar to bar, so that it crosses no text
            ends = (place + HALF, max(below - HALF, place + HALF))
            axes.vlines(value, *ends, color=INK, linewidth=0.6, alpha=0.5)
            # points for a percentage, per cent for a ratio
            text = f" {change:+.1f}" if unit else f" {value / before - 1:+.1%}"
            axes.text(max(value, before), place, text, va="center", fontsize=SMALL - 1)
        axes.set(title=title, xlim=(least - room / 3, largest + 2.2 * room))
        rung_values = ", ".join(f"{rung} {value:.3g}{unit}" for rung, value in values.items())
        clauses.append(f"{title}: {rung_values}")
    grid[-1].set_xlabel(what)
    intro = f"{what[:1].upper()}{what[1:]}, from rung to rung."
    return figure, f"{intro} {'; '.join(clauses)}."

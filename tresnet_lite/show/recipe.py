"""Drawings of the training chapter: the schedule, a run's curve, and what ingredients are worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.figure import Figure

from tresnet_lite.show.marks import intervals, rows
from tresnet_lite.show.plots import chart, charts, drawing, legend_above
from tresnet_lite.show.style import SERIES_COLOURS, SMALL
from tresnet_lite.train.optimisation import schedule_values
from tresnet_lite.train.recipe import Recipe


@drawing
def schedules(recipes: Mapping[str, Recipe], steps: int = 600) -> tuple[Figure, str]:
    """Learning rate above, momentum below, over the epochs of several recipes of one length."""
    figure, (rate, momentum) = charts(2, 4.6)
    clauses = []
    for (name, recipe), colour in zip(recipes.items(), SERIES_COLOURS, strict=False):
        rates, momenta = schedule_values(recipe, steps)
        epochs = [recipe.epochs * step / steps for step in range(steps)]
        rate.plot(epochs, rates, color=colour, linewidth=2, label=name)
        momentum.plot(epochs, momenta, color=colour, linewidth=2)
        peak = epochs[rates.index(max(rates))]
        clauses.append(
            f"{name}: rate {rates[0]:.3g} at the start, {max(rates):.3g} first at epoch {peak:.0f},"
            f" {rates[-1]:.2g} at the end, momentum between {min(momenta):.2f} and"
            f" {max(momenta):.2f}"
        )
    rate.set(ylabel="learning rate")
    momentum.set(ylabel="momentum", xlabel="epoch")
    legend_above(figure, handletextpad=0.8)
    return figure, f"Learning rate and momentum over the steps of a run. {'; '.join(clauses)}."


@drawing
def epoch_curves(accuracies: Mapping[str, Sequence[float]]) -> tuple[Figure, str]:
    """Top-1 accuracy in % after each epoch, a line for each run."""
    figure, axes = chart(2.9)
    clauses = []
    for (name, values), colour in zip(accuracies.items(), SERIES_COLOURS, strict=False):
        epochs = range(1, len(values) + 1)
        axes.plot(epochs, values, "o-", color=colour, linewidth=2, markersize=4, label=name)
        clauses.append(f"{name}: {', '.join(f'{value:.1f}' for value in values)} %")
    axes.set(xlabel="epoch", ylabel="top-1, %", ylim=(0, 102))
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(loc="lower right", fontsize=SMALL)
    return figure, f"Accuracy of one run after each epoch. {'; '.join(clauses)}."


@drawing
def ingredients(table: pd.DataFrame) -> tuple[Figure, str]:
    """What taking each ingredient out changes, with an interval where there is one.

    Args:
        table: lines of `ingredient_differences`.
    """
    lines = table.dropna(subset="change").reset_index(drop=True)
    figure, axes = chart(0.8 + 0.34 * max(len(lines), 1))
    rows(axes, lines["name"], reference=0, size=SMALL)
    intervals(axes, lines.index, lines["change"], lines["low"], lines["high"], alpha=0.6)
    axes.set_xlabel("points of top-1")
    clauses = [f"{row.name} {row.change:+.2f} ({row.changes})" for row in lines.itertuples()]
    intro = (
        "Change of accuracy without one ingredient, in points, with simultaneous 95 % intervals."
    )
    return figure, f"{intro} {'; '.join(clauses) or 'Nothing was measured'}."

"""Drawings of the training chapter: the schedule, a run's curve, and what each ingredient is
worth.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.figure import Figure

from tresnet_lite.show.plots import BLUE, GREEN, INK, ORANGE, SMALL, WIDTH, drawing
from tresnet_lite.train.optimisation import schedule_values
from tresnet_lite.train.recipe import Recipe

COLOURS = (BLUE, ORANGE, GREEN)


@drawing
def schedules(recipes: Mapping[str, Recipe], steps: int = 600) -> tuple[Figure, str]:
    """Learning rate and momentum over the epochs, of several recipes of one length."""
    figure = Figure(figsize=(WIDTH, 4.6), layout="constrained")
    rate, momentum = figure.subplots(2, 1, sharex=True)
    told = []
    for (name, recipe), colour in zip(recipes.items(), COLOURS, strict=False):
        rates, momenta = schedule_values(recipe, steps)
        epochs = [recipe.epochs * step / steps for step in range(steps)]
        rate.plot(epochs, rates, color=colour, linewidth=2, label=name)
        momentum.plot(epochs, momenta, color=colour, linewidth=2)
        peak = epochs[rates.index(max(rates))]
        told.append(
            f"{name}: rate {rates[0]:.3g} at the start, {max(rates):.3g} first at epoch {peak:.0f},"
            f" {rates[-1]:.2g} at the end, momentum between {min(momenta):.2f} and"
            f" {max(momenta):.2f}"
        )
    rate.set(ylabel="learning rate")
    momentum.set(ylabel="momentum", xlabel="epoch")
    figure.legend(*rate.get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return figure, f"Schedules. {'; '.join(told)}."


@drawing
def curve(accuracies: Mapping[str, Sequence[float]]) -> tuple[Figure, str]:
    """Accuracies after each epoch, in per cent."""
    figure = Figure(figsize=(WIDTH, 2.9), layout="constrained")
    axes = figure.subplots()
    for (name, values), colour in zip(accuracies.items(), COLOURS, strict=False):
        axes.plot(
            range(1, len(values) + 1),
            values,
            "o-",
            color=colour,
            linewidth=2,
            markersize=4,
            label=name,
        )
    axes.set(xlabel="epoch", ylabel="top-1, %", ylim=(0, 102))
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(loc="lower right", fontsize=SMALL)
    told = "; ".join(
        f"{name}: {', '.join(f'{v:.1f}' for v in values)} %" for name, values in accuracies.items()
    )
    return figure, f"Accuracy after each epoch. {told}."


@drawing
def ingredients(table: pd.DataFrame) -> tuple[Figure, str]:
    """Lines of `training.differences`: what taking an ingredient out changes, with intervals where
    there are any.
    """
    lines = table.dropna(subset="change").reset_index(drop=True)
    figure = Figure(figsize=(WIDTH, 0.8 + 0.34 * max(len(lines), 1)), layout="constrained")
    axes = figure.subplots()
    axes.axvline(0, color=INK, linewidth=0.8, alpha=0.5)
    axes.hlines(lines.index, lines["low"], lines["high"], color=BLUE, linewidth=3, alpha=0.6)
    axes.plot(lines["change"], lines.index, "o", color=BLUE)
    axes.set(yticks=lines.index, yticklabels=lines["name"], ylim=(max(len(lines), 1) - 0.5, -0.5))
    axes.tick_params(left=False, axis="y", labelsize=SMALL)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("points of top-1")
    told = "; ".join(f"{row.name} {row.change:+.2f} ({row.changes})" for row in lines.itertuples())
    return (
        figure,
        f"What taking an ingredient out changes, in points. {told or 'Nothing was measured'}.",
    )

"""The figures of the chapter on Inplace-ABN: what is kept, reading back, precision, memory, the
frontier, training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
import torch
import torch.nn.functional as F
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyBboxPatch, Patch
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

from tresnet_lite.experiments.inplace_abn import GROUPS
from tresnet_lite.experiments.inplace_abn_layer import SLOPE
from tresnet_lite.show.plots import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    POINT,
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

COLOURS = dict(zip(GROUPS, (BLUE, SKY, GREEN, ORANGE, PURPLE), strict=True))
DTYPE_COLOURS = {"float32": BLUE, "float16": GREEN, "bfloat16": VERMILLION}


@drawing
def what_is_kept() -> tuple[Figure, str]:
    """One convolution, norm and activation: the maps that BatchNorm keeps, and the way back that
    Inplace-ABN takes.
    """
    step, high, first = 54.0, 32.0, 57.0
    last = first + 3 * step
    figure, axes = canvas(last + high + 58)
    names = ("x", "x̂", "z", "y")
    forward = ("norm", "γ x̂ + β", "leaky ReLU")
    back = ("", "(z − β) / γ", "y or y/slope")
    for left, title, kept in ((50, "BatchNorm", "xy"), (147, "Inplace-ABN", "y")):
        middle = left + 30
        axes.text(middle, 10, title, ha="center", va="center", weight="bold")
        axes.text(middle, 34, "convolution", ha="center", va="center", fontsize=SMALL)
        arrow(axes, middle, first - 15, first)
        for row, name in enumerate(names):
            _map(axes, left, first + step * row, high, name, name in kept)
        for row, (name, way) in enumerate(zip(forward, back, strict=True)):
            top = first + step * row + high
            arrow(axes, middle, top, top + step - high)
            axes.text(
                middle - 5, top + (step - high) / 2, name, va="center", ha="right", fontsize=SMALL
            )
            if way and kept == "y":
                _way_back(axes, left + 60, top + step - high / 2, top - high / 2, way)
        arrow(axes, middle, last + high, last + high + 18)
        axes.text(
            middle, last + high + 26, "next convolution", ha="center", va="center", fontsize=SMALL
        )
    axes.text(
        WIDTH / POINT / 2,
        last + high + 50,
        "filled: kept for backward",
        ha="center",
        fontsize=SMALL,
    )
    return (
        figure,
        (
            "Two chains: convolution, x, norm, x̂, γ x̂ + β, z, leaky ReLU, y, next convolution."
            " With BatchNorm x and y are kept for backward. Inplace-ABN keeps y alone; backward"
            " reads z from y by undoing the activation, and x̂ from z by (z − β) / γ."
        ),
    )


def _map(axes: Axes, left: float, top: float, high: float, name: str, kept: bool) -> None:
    if kept:
        box(axes, left, top, 60, high, VERMILLION, strong=True)
    else:
        outline = {
            "boxstyle": "round,pad=0,rounding_size=5",
            "fill": False,
            "edgecolor": INK,
            "linestyle": ":",
        }
        axes.add_patch(FancyBboxPatch((left, top), 60, high, **outline))
    axes.text(
        left + 30,
        top + high / 2,
        name,
        ha="center",
        va="center",
        weight="bold" if kept else "normal",
    )


def _way_back(axes: Axes, x: float, start: float, end: float, label: str) -> None:
    """A curved arrow on the right side of two boxes, from the lower up to the upper."""
    style = {
        "arrowstyle": "-|>",
        "color": VERMILLION,
        "connectionstyle": "arc3,rad=0.5",
        "linewidth": 1.6,
    }
    axes.annotate("", (x, end), (x, start), arrowprops=style)
    axes.text(x + 18, (start + end) / 2, label, color=VERMILLION, va="center", fontsize=SMALL)


@drawing
def read_back(
    gammas: Sequence[float] = (1.0, 0.01, 0.001), beta: float = 0.7
) -> tuple[Figure, str]:
    """x̂ read back from a bfloat16 y, against x̂: a line where each has a y of its own, stairs
    where many share one.
    """
    xhat = torch.linspace(-3, 3, 601)
    figure = Figure(figsize=(WIDTH, 1.75 * len(gammas) + 0.3), layout="constrained")
    told = []
    for axes, gamma in zip(figure.subplots(len(gammas), 1, sharex=True).flat, gammas, strict=True):
        y = F.leaky_relu(gamma * xhat + beta, SLOPE).bfloat16()
        back = (F.leaky_relu(y.float(), 1 / SLOPE) - beta) / gamma
        values = len(y.unique())
        axes.plot(xhat, xhat, color=INK, linewidth=0.8, alpha=0.5)
        axes.plot(xhat, back, color=VERMILLION, linewidth=1.8)
        axes.set(
            title=f"γ = {gamma:g}: y takes {values} values", ylabel="x̂ read back", ylim=(-4.2, 4.2)
        )
        told.append(f"for γ = {gamma:g}, y takes {values} values")
    axes.set_xlabel(f"x̂: {len(xhat)} values; β = {beta:g}, bfloat16")
    return (
        figure,
        (
            "The normalised value read back from a bfloat16 output, against the true one:"
            f" {'; '.join(told)}. With the large weight it is a line, with the small ones a"
            " staircase."
        ),
    )


@drawing
def precision(table: pd.DataFrame, plain: str, cured: str) -> tuple[Figure, str]:
    """Errors of dγ and dx against γ, of the plain inversion (dashed) and the cured one (solid), a
    colour a dtype.
    """
    figure = Figure(figsize=(WIDTH, 5.4), layout="constrained")
    for axes, (column, name) in zip(
        figure.subplots(2, 1, sharex=True), (("dgamma", "dγ"), ("dx", "dx")), strict=True
    ):
        for (layer, dtype), rows in table.groupby(["layer", "dtype"], sort=False):
            dash = {plain: (0, (4, 2)), cured: "-"}[layer]
            axes.loglog(
                rows["gamma"],
                rows[column],
                color=DTYPE_COLOURS[dtype],
                linestyle=dash,
                linewidth=1.8,
            )
        axes.axhline(1, color=INK, linewidth=0.8, alpha=0.5)
        axes.set(ylabel=f"relative error of {name}", xlim=(1, 1e-4), ylim=(1e-8, 30))
    axes.set_xlabel("γ")
    handles = [
        Line2D([], [], color=colour, linewidth=1.8, label=dtype)
        for dtype, colour in DTYPE_COLOURS.items()
    ]
    dashes = ((plain, (0, (4, 2))), (cured, "-"))
    handles += [Line2D([], [], color=INK, linestyle=dash, label=name) for name, dash in dashes]
    figure.legend(handles=handles, loc="outside upper center", ncols=2, handletextpad=0.4)
    small = table[table["gamma"] < 1.01e-3].groupby(["layer", "dtype"], sort=False).first()
    told = [f"{layer}, {dtype}: {row.dgamma:.0e}" for (layer, dtype), row in small.iterrows()]
    return (
        figure,
        f"Relative errors of dγ and dx against γ. At γ = 0.001, of dγ: {'; '.join(told)}.",
    )


@drawing
def memory_bars(networks: Mapping[str, Mapping[str, float]]) -> tuple[Figure, str]:
    """What each network keeps, MB an image, in stacked bars by `GROUPS`."""
    figure = Figure(figsize=(WIDTH, 0.62 * len(networks) + 1.9), layout="constrained")
    axes = figure.subplots()
    told = []
    for row, (name, groups) in enumerate(networks.items()):
        left, total = 0.0, sum(groups.values())
        for group, size in groups.items():
            colour = COLOURS[group]
            axes.barh(
                row,
                size,
                left=left,
                height=0.52,
                color=colour,
                alpha=0.55,
                edgecolor=INK,
                linewidth=0.6,
            )
            left += size
        axes.text(0, row - 0.42, f"{name}: {total:.1f} MB", va="center")
        parts = ", ".join(f"{group} {size:.1f}" for group, size in groups.items() if size > 0.05)
        told.append(f"{name} {total:.1f} MB ({parts})")
    axes.set(ylim=(len(networks) - 0.6, -0.75), yticks=[], xlabel="kept for backward, MB an image")
    axes.spines["left"].set_visible(False)
    shown = [group for group in GROUPS if any(groups[group] > 0.05 for groups in networks.values())]
    patches = [
        Patch(label=g, facecolor=COLOURS[g], alpha=0.55, edgecolor=INK, linewidth=0.6)
        for g in shown
    ]
    figure.legend(
        handles=patches, loc="outside upper left", ncols=1, handlelength=1.2, handletextpad=0.5
    )
    return figure, f"Memory kept for backward, an image. {'; '.join(told)}."


@drawing
def frontier(table: pd.DataFrame) -> tuple[Figure, str]:
    """Time of a training step against memory kept, BatchNorm = 1, with quartiles: down and left is
    better.
    """
    figure = Figure(figsize=(WIDTH, 3.4), layout="constrained")
    axes = figure.subplots()
    axes.axhline(1, color=INK, linewidth=0.8, alpha=0.5)
    told = []
    for place, row in enumerate(table.sort_values("kept").itertuples()):
        colour = INK if row.model == "batchnorm" else BLUE
        axes.vlines(row.kept, 1 / row.ratio_q3, 1 / row.ratio_q1, color=colour, linewidth=3)
        axes.plot(row.kept, 1 / row.ratio, "o", color=colour)
        # neighbours would write over each other
        end, shift = ((row.ratio_q1, 5), (row.ratio_q3, -12))[place % 2]
        axes.annotate(
            row.name, (row.kept, 1 / end), (0, shift), textcoords="offset points", ha="center"
        )
        told.append(f"{row.name}: {row.kept:.1f} MB, {1 / row.ratio:.2f}")
    high, low = (1 / table["ratio_q1"]).max(), (1 / table["ratio_q3"]).min()
    margin = 0.18 * (high - low + 0.1)
    axes.set(xlim=(0, 1.15 * table["kept"].max()), ylim=(low - margin, high + margin))
    axes.set(
        xlabel="kept for backward, MB an image at 224 px", ylabel="time of a step, BatchNorm = 1"
    )
    return figure, f"Memory kept against time of a training step, BatchNorm = 1. {'; '.join(told)}."


@drawing
def losses(runs: pd.DataFrame, window: int = 5) -> tuple[Figure, str]:
    """Training losses of either norm: means over seeds of a running mean, in a band from the least
    to the largest.
    """
    figure = Figure(figsize=(WIDTH, 2.9), layout="constrained")
    axes = figure.subplots()
    told = []
    for (norm, rows), colour, dash in zip(
        runs.groupby("norm", sort=False), (BLUE, VERMILLION), ("-", "--"), strict=True
    ):
        smooth = (
            rows.pivot(index="step", columns="seed", values="loss")
            .rolling(window, min_periods=1)
            .mean()
        )
        axes.fill_between(
            smooth.index,
            smooth.min(axis=1),
            smooth.max(axis=1),
            color=colour,
            alpha=0.2,
            linewidth=0,
        )
        axes.plot(
            smooth.index,
            smooth.mean(axis=1),
            color=colour,
            linestyle=dash,
            linewidth=1.8,
            label=norm,
        )
        told.append(f"{norm} ends at {smooth.mean(axis=1).iloc[-1]:.2f}")
    axes.set(yscale="log", xlabel="step", ylabel="loss")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.legend()
    return figure, f"Training losses on digits, bfloat16: {'; '.join(told)}."

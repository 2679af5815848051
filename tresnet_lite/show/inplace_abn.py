"""The figures of the chapter on Inplace-ABN: what is kept, precision, memory, time, training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
import torch
import torch.nn.functional as F
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from tresnet_lite.experiments.inplace_abn import GROUPS
from tresnet_lite.experiments.inplace_abn_layer import SLOPE
from tresnet_lite.show.boxes import ACROSS, HEAD, arrow, box, canvas, write
from tresnet_lite.show.marks import plain_ticks, powers_of_ten
from tresnet_lite.show.plots import chart, charts, drawing, legend_above, stacked_bars
from tresnet_lite.show.style import BLUE, GREEN, INK, ORANGE, PURPLE, SKY, SMALL, VERMILLION

GROUP_COLOURS = dict(zip(GROUPS, (BLUE, SKY, GREEN, ORANGE, PURPLE), strict=True))
DTYPE_COLOURS = {"float32": BLUE, "float16": GREEN, "bfloat16": VERMILLION}
DASHED = (0, (4, 2))


@drawing
def what_is_kept() -> tuple[Figure, str]:
    """A convolution, norm and activation: what BatchNorm keeps, and Inplace-ABN's way back."""
    step, high, first = 54.0, 32.0, 57.0
    tops = {name: first + step * row for row, name in enumerate(("x", "x̂", "z", "y"))}
    bottom = tops["y"] + high
    forward = {"x": "norm", "x̂": "γ x̂ + β", "z": "leaky ReLU"}
    back = {"x̂": "(z − β) / γ", "z": "y or y/slope"}
    figure, axes = canvas(bottom + 58)
    for middle, title, kept in ((80, "BatchNorm", "xy"), (177, "Inplace-ABN", "y")):
        write(axes, middle, 10, title, weight="bold")
        write(axes, middle, 34, "convolution", fontsize=SMALL)
        arrow(axes, middle, first - 15, first)
        for name, top in tops.items():
            strong = name in kept
            colour, weight = (VERMILLION, "bold") if strong else ("none", "normal")
            box(axes, middle - 30, top, 60, high, colour, strong=strong, dotted=not strong)
            write(axes, middle, top + high / 2, name, weight=weight)
        for name, operation in forward.items():
            top, below = tops[name] + high, tops[name] + step
            arrow(axes, middle, top, below)
            place = {"va": "center", "ha": "right", "fontsize": SMALL}
            axes.text(middle - 5, (top + below) / 2, operation, **place)
        arrow(axes, middle, bottom, bottom + 18)
        write(axes, middle, bottom + 26, "next convolution", fontsize=SMALL)
        if title == "Inplace-ABN":
            for name, operation in back.items():
                centre = tops[name] + high / 2
                _way_back(axes, middle + 30, centre + step, centre, operation)
    axes.text(ACROSS / 2, bottom + 50, "filled: kept for backward", ha="center", fontsize=SMALL)
    description = (
        "BatchNorm keeps x and y for the backward pass, Inplace-ABN only y."
        " Two chains: convolution, x, norm, x̂, γ x̂ + β, z, leaky ReLU, y, next convolution."
        " Inplace-ABN's backward pass reads z from y by undoing the activation, and x̂ from z by"
        " (z − β) / γ."
    )
    return figure, description


def _way_back(axes: Axes, x: float, start: float, end: float, label: str) -> None:
    """A curved arrow on the right side of two boxes, from the lower up to the upper."""
    curved = {"color": VERMILLION, "connectionstyle": "arc3,rad=0.5", "linewidth": 1.6}
    axes.annotate("", (x, end), (x, start), arrowprops=HEAD | curved)
    axes.text(x + 18, (start + end) / 2, label, color=VERMILLION, va="center", fontsize=SMALL)


@drawing
def read_back(
    gammas: Sequence[float] = (1.0, 0.01, 0.001), beta: float = 0.7
) -> tuple[Figure, str]:
    """x̂ read back from a bfloat16 y, against x̂, a panel for each γ.

    Where each x̂ has a y of its own it is a line, where many share one it is stairs.
    """
    xhat = torch.linspace(-3, 3, 601)
    figure, panels = charts(len(gammas), 1.75 * len(gammas) + 0.3)
    clauses = []
    for axes, gamma in zip(panels, gammas, strict=True):
        y = F.leaky_relu(gamma * xhat + beta, SLOPE).bfloat16()
        back = (F.leaky_relu(y.float(), 1 / SLOPE) - beta) / gamma
        values = len(y.unique())
        axes.plot(xhat, xhat, color=INK, linewidth=0.8, alpha=0.5)
        axes.plot(xhat, back, color=VERMILLION, linewidth=1.8)
        axes.set(title=f"γ = {gamma:g}: y takes {values} values", ylim=(-4.2, 4.2))
        axes.set_ylabel("x̂ read back")
        clauses.append(f"for γ = {gamma:g}, y takes {values} values")
    panels[-1].set_xlabel(f"x̂: {len(xhat)} values; β = {beta:g}, bfloat16")
    description = (
        "The normalised value read back from a bfloat16 output, against the true one."
        f" In detail, {'; '.join(clauses)}. With the large weight it is a line, with the small"
        " ones a staircase."
    )
    return figure, description


@drawing
def precision(table: pd.DataFrame, plain: str, cured: str) -> tuple[Figure, str]:
    """Errors of dγ above and of dx below, against γ, a colour for each dtype.

    Args:
        table: columns layer, dtype, gamma, dgamma and dx.
        plain: the layer that inverts plainly (dashed).
        cured: the layer that does so safely (solid).
    """
    dashes = {plain: DASHED, cured: "-"}
    figure, panels = charts(2, 5.4)
    for axes, (column, name) in zip(panels, (("dgamma", "dγ"), ("dx", "dx")), strict=True):
        for (layer, dtype), part in table.groupby(["layer", "dtype"], sort=False):
            look = {"color": DTYPE_COLOURS[dtype], "linestyle": dashes[layer], "linewidth": 1.8}
            axes.loglog(part["gamma"], part[column], **look)
        powers_of_ten(axes.xaxis)
        powers_of_ten(axes.yaxis)
        axes.axhline(1, color=INK, linewidth=0.8, alpha=0.5)
        axes.set(ylabel=f"relative error of {name}", xlim=(1, 1e-4), ylim=(1e-8, 30))
    panels[-1].set_xlabel("γ")
    colours = DTYPE_COLOURS.items()
    handles = [Line2D([], [], color=c, linewidth=1.8, label=dtype) for dtype, c in colours]
    handles += [Line2D([], [], color=INK, linestyle=dash, label=n) for n, dash in dashes.items()]
    legend_above(figure, handles)
    small = table[table["gamma"] < 1.01e-3].groupby(["layer", "dtype"], sort=False).first()
    clauses = [f"{layer}, {dtype}: {row.dgamma:.0e}" for (layer, dtype), row in small.iterrows()]
    intro = "Relative errors of dγ and dx by γ, read back plainly and safely. Of dγ at γ = 0.001:"
    return figure, f"{intro} {'; '.join(clauses)}."


@drawing
def memory_bars(networks: Mapping[str, Mapping[str, float]]) -> tuple[Figure, str]:
    """What each network keeps per image: a bar for each, in parts by what keeps it.

    Args:
        networks: name → group of `GROUPS` → MB per image.
    """
    return stacked_bars(
        networks,
        GROUP_COLOURS,
        unit="MB",
        label="kept for the backward pass, MB per image",
        intro="Memory that training keeps for the backward pass, per image, by what keeps it.",
    )


@drawing
def frontier(table: pd.DataFrame) -> tuple[Figure, str]:
    """Time of a training step against memory kept, with quartiles: down and left is better.

    Args:
        table: columns model, name, kept (MB), and ratio with its quartiles, speeds to BatchNorm's.
    """
    figure, axes = chart(3.4)
    axes.axhline(1, color=INK, linewidth=0.8, alpha=0.5)
    clauses = []
    for place, row in enumerate(table.sort_values("kept").itertuples()):
        colour = INK if row.model == "batchnorm" else BLUE
        axes.vlines(row.kept, 1 / row.ratio_high, 1 / row.ratio_low, color=colour, linewidth=3)
        axes.plot(row.kept, 1 / row.ratio, "o", color=colour)
        # neighbours would write over each other
        end, shift = ((row.ratio_low, 5), (row.ratio_high, -12))[place % 2]
        offset = {"xytext": (0, shift), "textcoords": "offset points"}
        axes.annotate(row.name, (row.kept, 1 / end), ha="center", **offset)
        clauses.append(f"{row.name}: {row.kept:.1f} MB, {1 / row.ratio:.2f}")
    high, low = (1 / table["ratio_low"]).max(), (1 / table["ratio_high"]).min()
    margin = 0.18 * (high - low + 0.1)
    axes.set(xlim=(0, 1.15 * table["kept"].max()), ylim=(low - margin, high + margin))
    axes.set_xlabel("kept for the backward pass, MB per image at 224 px")
    axes.set_ylabel("time per step, BatchNorm = 1")
    intro = "Memory kept by each setting against the time of a training step (BatchNorm = 1)."
    return figure, f"{intro} {'; '.join(clauses)}."


@drawing
def losses(runs: pd.DataFrame, window: int = 5) -> tuple[Figure, str]:
    """Training losses of either norm, smoothed: means over seeds, in a band from least to largest.

    Args:
        runs: columns norm, seed, step and loss.
        window: steps of the running mean.
    """
    figure, axes = chart(2.9)
    clauses = []
    looks = ({"color": BLUE, "linestyle": "-"}, {"color": VERMILLION, "linestyle": "--"})
    for (norm, part), look in zip(runs.groupby("norm", sort=False), looks, strict=True):
        by_seed = part.pivot(index="step", columns="seed", values="loss")
        smooth = by_seed.rolling(window, min_periods=1).mean()
        limits, mean = (smooth.min(axis=1), smooth.max(axis=1)), smooth.mean(axis=1)
        axes.fill_between(smooth.index, *limits, color=look["color"], alpha=0.2, linewidth=0)
        axes.plot(smooth.index, mean, linewidth=1.8, label=norm, **look)
        ends = f"{limits[0].iloc[-1]:.2f} to {limits[1].iloc[-1]:.2f}"
        clauses.append(f"{norm} ends at {mean.iloc[-1]:.2f} ({ends})")
    axes.set(yscale="log", xlabel="step", ylabel="loss")
    plain_ticks(axes.yaxis)
    axes.legend()
    seeds = runs["seed"].nunique()
    intro = f"Training losses on digits, in bfloat16: mean and range of {seeds} seeds by norm."
    return figure, f"{intro} {'; '.join(clauses)}."

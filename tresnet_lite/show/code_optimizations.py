"""The drawings of the chapter on code optimisations."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, NullLocator, StrMethodFormatter

from tresnet_lite.claims.ledger import load_claims
from tresnet_lite.experiments.code_optimizations import IN, OUT
from tresnet_lite.show import plots


def speed_table(timed: pd.DataFrame, of: str, claim: str) -> tuple[pd.DataFrame, list[str]]:
    """A row for each place in `timed` (see `times`), and the names of its columns.

    They are place, the microseconds of each way ("time …"), then speedup and spread of the way `of`
    beside paper_speedup, the factor that the paper's claim names.
    """
    place, ways = ["what", "where"], list(dict.fromkeys(timed["way"]))
    table = timed.pivot(index=place, columns="way", values="time").reindex(
        timed.set_index(place).index.unique()
    )
    table = table.add_prefix("time ")
    speeds = timed[timed["way"] == of].set_index(place)[["ratio", "ratio_q1", "ratio_q3"]]
    table = table.join(speeds).assign(paper_speedup=printed_factor(claim)).reset_index()
    table["place"] = (
        table["what"]
        + ": "
        + table["where"].str.replace(" (?=[0-9])", "\N{NO-BREAK SPACE}", regex=True)
    )
    table["spread"] = list(zip(table["ratio_q1"], table["ratio_q3"], strict=True))
    names = ["place", *(f"time {way}" for way in ways), "speedup", "spread", "paper_speedup"]
    return table.rename(columns={"ratio": "speedup"}), names


def printed_factor(claim: str) -> float:
    """How many times as fast the paper says, from the claim's check."""
    return float(next(c for c in load_claims() if c.id == claim).check["factor"])


@plots.drawing
def draw_traffic(table: pd.DataFrame) -> tuple[Figure, str]:
    """What each operation moves, a part for each step that runs, above the least that any program
    must move.
    """
    colours = dict(
        zip(dict.fromkeys(s for p in table["parts"] for s, _ in p), _PALETTE, strict=False)
    )
    figure = Figure(figsize=(plots.WIDTH, 0.78 * len(table) + 0.75), layout="constrained")
    axes = figure.subplots()
    for i, row in enumerate(table.itertuples()):
        left = 0.0
        for step, size in row.parts:
            hue = colours[step]
            axes.barh(
                i - 0.04, size, 0.36, left, color=(*_rgb(hue), 0.45), edgecolor=hue, linewidth=1.2
            )
            axes.text(
                left + size / 2,
                i - 0.04,
                step.split("_")[0],
                ha="center",
                va="center",
                fontsize=plots.SMALL,
            )
            left += size
        axes.barh(i + 0.28, row.least, 0.2, color="none", edgecolor=plots.INK, linewidth=0.8)
        axes.text(0, i - 0.34, row.operation, weight="bold", va="center")
        axes.text(
            row.least + 0.05,
            i + 0.28,
            f"the least: {row.least:.2f}",
            va="center",
            fontsize=plots.SMALL,
        )
    axes.set(ylim=(len(table) - 0.5, -0.55), yticks=[], xlabel="bytes moved, in sizes of the input")
    axes.spines["left"].set_visible(False)
    told = [
        f"{r.operation}: {r.runs} move {r.moved:.2f}, the least is {r.least:.2f}"
        for r in table.itertuples()
    ]
    return figure, f"Bytes moved, in sizes of the input. {'; '.join(told)}."


_PALETTE = (plots.BLUE, plots.ORANGE, plots.GREEN, plots.PURPLE, plots.SKY)


def _rgb(colour: str) -> tuple[float, ...]:
    return tuple(int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))


@plots.drawing
def draw_kept(table: pd.DataFrame) -> tuple[Figure, str]:
    """For each operation on y with result z: which maps exist, out of place and in place, and which
    are kept.

    `table` is `kept_table`'s. The next convolution keeps z in any case; what more is kept, the
    count tells.
    """
    row_height, top = 66.0, 34.0
    figure, axes = plots.canvas(top + row_height * len(table) + 4)
    middle = plots.WIDTH / plots.POINT / 2
    for x, name in ((4, OUT), (middle + 4, IN)):
        axes.text(x, 11, name, weight="bold", va="center")
    told = []
    for i, row in enumerate(table.to_dict("records")):
        y = top + row_height * i
        axes.text(4, y, row["operation"], va="center", fontsize=plots.SMALL)
        _maps(axes, 4, y + 10, [("y", row["kept out"] > 1), ("z", True)], row["kept out"])
        copied = row["kept in"] > 1
        boxes = [("copy of y", True), ("y, then z", True)] if copied else [("y, then z", True)]
        _maps(axes, middle + 4, y + 10, boxes, row["kept in"])
        told.append(
            f"{row['operation']}: {row['kept out']:.0f} out of place, {row['kept in']:.0f} in place"
        )
    return figure, f"Maps kept for backward by an operation from y to z. {'; '.join(told)}."


def _maps(axes: Any, left: float, top: float, boxes: list[tuple[str, bool]], kept: float) -> None:
    """Feature maps side by side, those that are kept marked, and how many those are."""
    width, high = 62.0, 24.0
    for i, (name, marked) in enumerate(boxes):
        x = left + i * (width + 8)
        plots.box(axes, x, top, width, high, plots.VERMILLION if marked else "none", strong=marked)
        axes.text(
            x + width / 2, top + high / 2, name, ha="center", va="center", fontsize=plots.SMALL
        )
    axes.text(left, top + high + 10, f"kept: {kept:.0f}", va="center", fontsize=plots.SMALL)


@plots.drawing
def draw_speeds(timed: pd.DataFrame, *, base: str, of: str, claim: str) -> tuple[Figure, str]:
    """Speed relative to `base` at each place of `times`, a marker for each way with its quartiles.

    A line stands where the paper's claim puts the way `of`.
    """
    whats, paper = list(dict.fromkeys(timed["what"])), printed_factor(claim)
    wheres = {
        what: list(dict.fromkeys(timed.loc[timed["what"] == what, "where"])) for what in whats
    }
    heights = [0.5 + 0.42 * len(wheres[what]) for what in whats]
    figure = Figure(figsize=(plots.WIDTH, sum(heights) + 1.1), layout="constrained")
    grid = figure.subplots(
        len(whats), 1, sharex=True, squeeze=False, gridspec_kw={"height_ratios": heights}
    )
    for axes, what in zip(grid.flat, whats, strict=True):
        axes.axvline(1, color=plots.INK, linewidth=0.8, alpha=0.5)
        axes.axvline(
            paper, color=plots.VERMILLION, linewidth=1.5, linestyle="--", label=f"paper, {of}"
        )
        _markers(axes, timed[(timed["what"] == what) & (timed["way"] != base)], wheres[what])
        axes.set_title(what)
        _doubling_scale(axes, timed["ratio_q1"].min(), max(timed["ratio_q3"].max(), paper))
    axes.set_xlabel(f"speed, {base} = 1 (right is faster)")
    figure.legend(
        *grid.flat[0].get_legend_handles_labels(),
        loc="outside upper center",
        ncols=2,
        handletextpad=0.4,
    )
    told = [f"{r.what}, {r.where}, {r.way}: {r.ratio:.2f}" for r in timed.itertuples()]
    return (
        figure,
        f"Speed relative to {base}; the paper says {paper:g} for {of}. {'; '.join(told)}.",
    )


def _markers(axes: Any, timed: pd.DataFrame, wheres: list[str]) -> None:
    """A row for each place, and in it a marker for each way."""
    ways = list(dict.fromkeys(timed["way"]))
    for k, way in enumerate(ways):
        part = timed[timed["way"] == way]
        y = [wheres.index(where) + 0.22 * (k - (len(ways) - 1) / 2) for where in part["where"]]
        axes.hlines(y, part["ratio_q1"], part["ratio_q3"], color=_PALETTE[k], linewidth=2.5)
        axes.plot(part["ratio"], y, "osD^"[k], color=_PALETTE[k], markersize=6, label=way)
    axes.set(ylim=(len(wheres) - 0.5, -0.5), yticks=range(len(wheres)), yticklabels=wheres)


def _doubling_scale(axes: Any, low: float, high: float) -> None:
    """A logarithmic axis with plain numbers, each twice the one before."""
    ticks = [2.0**n for n in range(-10, 11)]
    axes.set_xscale("log")
    axes.set_xlim(min(low, 0.9) / 1.15, high * 1.2)
    axes.set_xticks([t for t in ticks if min(low, 0.9) / 1.15 <= t <= high * 1.2])
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(left=False)
    axes.spines["left"].set_visible(False)

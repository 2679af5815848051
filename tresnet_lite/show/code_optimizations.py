"""The drawings of the chapter on code optimisations."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from tresnet_lite.claims.ledger import load_claims
from tresnet_lite.experiments.in_place import IN, OUT
from tresnet_lite.show.boxes import ACROSS, box, canvas, write
from tresnet_lite.show.marks import intervals, plain_ticks, rows
from tresnet_lite.show.plots import chart, charts, drawing, legend_above, speed_label
from tresnet_lite.show.style import INK, SERIES_COLOURS, SMALL, VERMILLION


def speed_table(timed: pd.DataFrame, way: str) -> tuple[pd.DataFrame, list[str]]:
    """A row for each place in `timed` (see `times`), and the names of its columns.

    They are place, the microseconds of each way ("time …"), then speedup and spread of `way`.
    """
    place, ways = ["what", "where"], list(dict.fromkeys(timed["way"]))
    table = timed.pivot(index=place, columns="way", values="time").add_prefix("time ")
    table = table.reindex(timed.set_index(place).index.unique())
    speeds = timed[timed["way"] == way].set_index(place)[["ratio", "ratio_low", "ratio_high"]]
    table = table.join(speeds).reset_index().rename(columns={"ratio": "speedup"})
    where = table["where"].str.replace(" (?=[0-9])", "\N{NO-BREAK SPACE}", regex=True)
    table["place"] = table["what"] + ": " + where
    table["spread"] = list(zip(table["ratio_low"], table["ratio_high"], strict=True))
    times = [f"time {way}" for way in ways]
    return table, ["place", *times, "speedup", "spread"]


def printed_factor(claim: str) -> float:
    """How many times as fast the paper says, from the claim's check."""
    return float(next(c for c in load_claims() if c.id == claim).check["factor"])


@drawing
def draw_traffic(table: pd.DataFrame) -> tuple[Figure, str]:
    """What each operation moves, a part for each step that runs, above the least that must move."""
    steps = dict.fromkeys(step for parts in table["parts"] for step, _ in parts)
    colours = dict(zip(steps, SERIES_COLOURS, strict=False))
    figure, axes = chart(0.78 * len(table) + 0.75)
    clauses = []
    for i, row in enumerate(table.itertuples()):
        left = 0.0
        for step, size in row.parts:
            look = {"color": to_rgba(colours[step], 0.45), "edgecolor": colours[step]}
            axes.barh(i - 0.04, size, 0.36, left, linewidth=1.2, **look)
            write(axes, left + size / 2, i - 0.04, step.split("_")[0], fontsize=SMALL)
            left += size
        axes.barh(i + 0.28, row.least, 0.2, color="none", edgecolor=INK, linewidth=0.8)
        least = f"the least: {row.least:.2f}"
        axes.text(row.least + 0.05, i + 0.28, least, va="center", fontsize=SMALL)
        axes.text(0, i - 0.34, row.operation, weight="bold", va="center")
        moved = f"{row.runs} move {row.moved:.2f}, the least is {row.least:.2f}"
        clauses.append(f"{row.operation}: {moved}")
    axes.set(ylim=(len(table) - 0.5, -0.55), yticks=[], xlabel="bytes moved, in sizes of the input")
    axes.spines["left"].set_visible(False)
    intro = "Bytes that each operation moves, in sizes of its input, beside the least possible."
    return figure, f"{intro} {'; '.join(clauses)}."


@drawing
def draw_kept(table: pd.DataFrame) -> tuple[Figure, str]:
    """The maps of each operation on y with result z, out of place and in place.

    Those that are kept for backward are filled, and counted below. The next convolution keeps z in
    any case.

    Args:
        table: as `kept_table` gives it.
    """
    row_height, top = 66.0, 34.0
    figure, axes = canvas(top + row_height * len(table) + 4)
    left, right = 4, ACROSS / 2 + 4
    for x, name in ((left, OUT), (right, IN)):
        axes.text(x, 11, name, weight="bold", va="center")
    clauses = []
    for i, row in enumerate(table.to_dict("records")):
        y = top + row_height * i
        operation, out, in_place = row["operation"], row["kept out"], row["kept in"]
        axes.text(left, y, operation, va="center", fontsize=SMALL)
        _maps(axes, left, y + 10, {"y": out > 1, "z": True}, out)
        copy = {"copy of y": True} if in_place > 1 else {}
        _maps(axes, right, y + 10, copy | {"y, then z": True}, in_place)
        clauses.append(f"{operation}: {out:.0f} out of place, {in_place:.0f} in place")
    intro = "Maps that training keeps for an operation from y to z, out of place and in place."
    return figure, f"{intro} {'; '.join(clauses)}."


def _maps(axes: Axes, left: float, top: float, maps: dict[str, bool], count: float) -> None:
    """Feature maps side by side, name → is it kept, and how many are."""
    width, high = 62.0, 24.0
    for i, (name, kept) in enumerate(maps.items()):
        x = left + i * (width + 8)
        box(axes, x, top, width, high, VERMILLION if kept else "none", strong=kept)
        write(axes, x + width / 2, top + high / 2, name, fontsize=SMALL)
    axes.text(left, top + high + 10, f"kept: {count:.0f}", va="center", fontsize=SMALL)


@drawing
def draw_speeds(times: pd.DataFrame, *, base: str, quoted: str, claim: str) -> tuple[Figure, str]:
    """Speed relative to `base` at each place, a marker for each way with its quartiles.

    A dashed line stands where the paper's claim puts the way `quoted`.

    Args:
        times: as the function `times` gives them.
    """
    paper, ways = printed_factor(claim), [way for way in times["way"].unique() if way != base]
    parts = {what: part for what, part in times.groupby("what", sort=False)}
    heights = [0.5 + 0.42 * part["where"].nunique() for part in parts.values()]
    figure, panels = charts(len(parts), sum(heights) + 1.1, heights=heights)
    for axes, (what, part) in zip(panels, parts.items(), strict=True):
        axes.set(title=what, xscale="log")
        wheres = list(part["where"].unique())
        rows(axes, wheres, reference=1)
        line = {"color": VERMILLION, "linewidth": 1.5, "linestyle": "--"}
        axes.axvline(paper, label=f"paper, {quoted}", **line)
        for k, way in enumerate(ways):
            points = part[part["way"] == way]
            places = points["where"].map(wheres.index) + 0.22 * (k - (len(ways) - 1) / 2)
            limits, look = (
                (points["ratio_low"], points["ratio_high"]),
                (SERIES_COLOURS[k], "osD^"[k]),
            )
            intervals(axes, places, points["ratio"], *limits, label=way, look=look)
    least = min(times["ratio_low"].min(), 0.9) / 1.15
    largest = max(times["ratio_high"].max(), paper) * 1.2
    doubling = [2.0**n for n in range(-10, 11) if least <= 2.0**n <= largest]
    for axes in panels:
        plain_ticks(axes.xaxis, doubling)
        axes.set_xlim(least, largest)
    speed_label(figure, base)
    legend_above(figure)
    clauses = [f"{r.what}, {r.where}, {r.way}: {r.ratio:.2f}" for r in times.itertuples()]
    intro = (
        f"Speed of each way to write it, relative to {base}; the paper says {paper:g} for {quoted}."
    )
    return figure, f"{intro} {'; '.join(clauses)}."

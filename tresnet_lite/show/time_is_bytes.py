"""Time as bytes: what limits an operation, what each number predicts, and where the time goes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from tresnet_lite.experiments.time_is_bytes import KINDS
from tresnet_lite.show.marks import intervals, paper_marks, plain_ticks, rows
from tresnet_lite.show.plots import chart, charts, drawing, legend_above, stacked_bars
from tresnet_lite.show.style import BLUE, GREEN, INK, ORANGE, PURPLE, SERIES_COLOURS, SKY, SMALL

KIND_COLOURS = dict(zip(KINDS, (ORANGE, SKY, BLUE, GREEN, PURPLE, INK), strict=True))


@drawing
def limits(times: pd.DataFrame, flips: Mapping[str, float]) -> tuple[Figure, str]:
    """The least time of operations of more and more channels, and where MACs begin to limit them.

    Args:
        times: columns name, channels, least_time (µs per image).
        flips: name → channels at which the MACs take as long as the bytes.
    """
    figure, axes = chart(4.2)
    looks = zip(
        times.groupby("name", sort=False), SERIES_COLOURS, ("-", "-", "-", ":"), strict=False
    )
    for (name, line), colour, style in looks:
        x, y = line["channels"], line["least_time"]
        axes.plot(x, y, style, color=colour, linewidth=2.5, label=name)
        if name in flips:
            height = np.exp(np.interp(np.log(flips[name]), np.log(x), np.log(y)))
            axes.plot(flips[name], height, "o", color=colour, markersize=8)
    axes.set(xscale="log", yscale="log", xlabel="channels, in and out")
    axes.set(ylabel="least time, µs per image")
    plain_ticks(axes.xaxis, [8, 32, 128, 512])
    plain_ticks(axes.yaxis, [0.1, 1, 10, 100, 1000])
    axes.grid(color=INK, alpha=0.15)
    legend_above(figure)
    clauses = [f"{name} from {channels:.0f} channels on" for name, channels in flips.items()]
    intro = (
        "The least time of operations on a V100; from each dot on MACs are the limit, not bytes."
    )
    return figure, f"{intro} {'; '.join(clauses)}."


@drawing
def errors_by(published: pd.DataFrame, paper: pd.DataFrame) -> tuple[Figure, str]:
    """The median error of each predictor: a dot for each published file, a diamond for the paper.

    Args:
        published: columns by, where, phase, median.
        paper: columns by, median.
    """
    names = list(paper["by"])
    figure, axes = chart(0.34 * len(names) + 1.4)
    rows(axes, names)
    axes.set(xscale="log", xlabel="median error, left out, %")
    places = published["by"].map(names.index)
    dots = {"color": BLUE, "alpha": 0.6, "markersize": 7}
    axes.plot(100 * published["median"], places, "o", label="published GPU speeds", **dots)
    paper_marks(axes, 100 * paper["median"], range(len(names)), label="the paper's")
    plain_ticks(axes.xaxis, [2, 5, 10, 20, 50])
    axes.grid(axis="x", color=INK, alpha=0.15)
    legend_above(figure)
    clauses = [
        f"{row.by}: the paper {row.median:.1%}, published "
        + ", ".join(f"{e:.1%}" for e in published[published["by"] == row.by]["median"])
        for row in paper.itertuples()
    ]
    intro = "Median errors of predicted speeds, by the number that predicts them."
    return figure, f"{intro} {'; '.join(clauses)}."


@drawing
def beside_printed(predictions: pd.DataFrame) -> tuple[Figure, str]:
    """Predicted over printed speeds with their intervals; each network was left out.

    Args:
        predictions: as `paper_predictions` gives them.
    """
    predictions = predictions.assign(
        name=[_name(row) for row in predictions.itertuples()],
        **{end: predictions[end] / predictions["speed"] for end in ("low", "high")},
        ratio=1 + predictions["off"],
    )
    panels = predictions.groupby("phase", sort=False)
    sizes = panels.size().to_list()
    options = {"sharex": True, "heights": [size + 0.5 for size in sizes]}
    figure, axes_of = charts(len(sizes), 0.24 * sum(sizes) + 2.0, **options)
    for axes, (phase, lines) in zip(axes_of, panels, strict=True):
        lines = lines.reset_index(drop=True)
        axes.set(title=phase, xscale="log")
        rows(axes, lines["name"], reference=1, size=SMALL)
        ends = lines["low"], lines["high"]
        label = "predicted over printed, 95 % interval"
        intervals(axes, lines.index, lines["ratio"], *ends, label=label, alpha=0.4)
        plain_ticks(axes.xaxis, [0.6, 0.8, 1, 1.25, 1.6])
    legend_above(figure, ncols=1)
    clauses = [
        f"{row.phase}, {row.name}: {row.ratio:.2f}" for row in predictions.itertuples(index=False)
    ]
    intro = "Predicted over printed speeds of the V100, each network left out of the fit."
    return figure, f"{intro} {'; '.join(clauses)}."


def _name(row: object) -> str:
    """A network, with its image size where that is not in its table's title."""
    return f"{row.network}, {row.resolution} px" if row.table == "Table 6" else row.network


@drawing
def time_by_kind(bars: Mapping[str, Mapping[str, float]]) -> tuple[Figure, str]:
    """Predicted time of each kind of operation, a bar for each network and phase.

    Args:
        bars: name → kind → µs per image, as `time_by_kind` gives them.
    """
    label = "predicted time, µs per image"
    intro = "Where the predicted time of an image goes on the paper's V100, by kind of operation."
    return stacked_bars(bars, KIND_COLOURS, unit="µs", label=label, intro=intro)

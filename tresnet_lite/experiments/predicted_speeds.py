"""Speeds predicted by the sum over a network's operations, and by one number in its place.

Constants are fitted to other networks than the one that is predicted. A prediction's interval is
one that 95 % of networks like the fitted ones fall into.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import cache, partial

import numpy as np
import pandas as pd
from scipy.stats import kendalltau

from tresnet_lite.findings.tables import PAPER_SIDE
from tresnet_lite.paper import paper_table
from tresnet_lite.paper.published import benchmark_conditions, benchmarks
from tresnet_lite.predict import Fit, Speed, fit, paper_report
from tresnet_lite.predict.constants import PAPER_FREE, PAPER_RULES, RULES, TWO, V100, fit_paper
from tresnet_lite.predict.devices import datasheet
from tresnet_lite.predict.fit import Errors, Prediction, left_out, proxy_left_out
from tresnet_lite.predict.paper_speeds import SIDES, paper_speeds
from tresnet_lite.predict.roofline import Rules
from tresnet_lite.predict.sources import published_speeds
from tresnet_lite.records.records import INFERENCE_FIRST

# Of what others published, what ran as the paper's networks did
ALIKE = "dtype == 'float16' and memory_format == 'channels_first' and compile == 'eager'"
Refit = Callable[[Sequence[Speed]], Fit]


def predictions(speeds: Sequence[Speed], refit: Refit) -> pd.DataFrame:
    """Each speed beside what constants say of it that were fitted to all other networks.

    Columns: network, resolution, phase, speed (the real one), `prediction_columns`, off (predicted
    over real, less 1).
    """
    names = dict.fromkeys(speed.name for speed in speeds)
    fits = {name: refit([s for s in speeds if s.name != name]) for name in names}
    rows = []
    for speed in speeds:
        prediction = fits[speed.name].predict(speed.load, speed.batch)
        row = {"network": speed.name, "resolution": speed.load.side, "phase": speed.load.phase}
        row |= {"speed": speed.images_per_second, **prediction_columns(prediction)}
        rows.append(row | {"off": prediction.value / speed.images_per_second - 1})
    return pd.DataFrame(rows)


def prediction_columns(prediction: Prediction) -> dict[str, object]:
    """predicted, low and high, and the last two as predicted_interval (a pair)."""
    ends = (prediction.low, prediction.high)
    named = {"predicted": prediction.value, "low": prediction.low, "high": prediction.high}
    return {**named, "predicted_interval": ends}


@cache
def paper_predictions() -> pd.DataFrame:
    """`predictions` of the paper's 24 speeds, with `table`, the first that prints each."""
    speeds = paper_speeds()
    return predictions(speeds, fit_paper).assign(table=[_table_of(speed) for speed in speeds])


def _table_of(speed: Speed) -> str:
    """The first of the paper's tables that prints a speed."""
    usual = speed.load.side == SIDES.get(speed.name, PAPER_SIDE)
    names = {1: "model", 3: "model", 4: "refinement"} if usual else {6: "model"}
    tables = (n for n, name in names.items() if speed.name in set(paper_table(n)[name]))
    return f"Table {next(tables)}"


def constants_worth() -> pd.DataFrame:
    """How well the paper's speeds, each network left out, are predicted with ever more constants.

    Columns: constants, count, median, rms.
    """
    speeds = paper_speeds()
    ways = {
        "arithmetic and bandwidth": (TWO, PAPER_RULES),
        "and how much longer training takes": ((*TWO, "slowdown"), PAPER_RULES),
        "and a rate of depthwise convolutions": (PAPER_FREE, PAPER_RULES),
        "the same four, nothing padded": (PAPER_FREE, Rules(inputs=1, outputs=1, grouped=1)),
    }
    rows = []
    for name, (free, rules) in ways.items():
        refit = partial(fit, free=free, rules=rules, ceiling=datasheet(V100))
        errors = Errors.of(left_out(speeds, refit))
        rows.append({"constants": name, "count": len(free), **asdict(errors)})
    return pd.DataFrame(rows)


# --- one number in place of the sum

SUM = "sum over operations"
PROXIES: Mapping[str, Callable[[Speed], float]] = {
    "parameters alone": lambda speed: speed.load.parameters,
    "operations alone": lambda speed: len(speed.load.names),
    **paper_report.PROXIES,
}


def proxy_errors(speeds: Sequence[Speed], predicted: pd.DataFrame) -> pd.DataFrame:
    """How well networks left out are predicted, and ordered, by one number alone and by the sum.

    One number says: speed = constant / number, with a constant for each phase.

    Columns: by, median, rms, inference_rank and training_rank (Kendall's: 1 where all pairs are in
    the real order, 0 where as many are not; NaN without speeds of that phase).

    Args:
        predicted: `predictions` of these speeds.
    """
    rows = []
    for name, proxy in PROXIES.items():
        errors = Errors.of(proxy_left_out(speeds, proxy))
        order = rank_correlations(speeds, [1 / proxy(speed) for speed in speeds])
        rows.append({"by": name, **asdict(errors), **order})
    errors = Errors.of(1 + predicted["off"].to_numpy())
    rows.append({"by": SUM, **asdict(errors), **rank_correlations(speeds, predicted["predicted"])})
    return pd.DataFrame(rows)


def rank_correlations(
    speeds: Sequence[Speed], values: Sequence[float] | pd.Series
) -> dict[str, float]:
    """Kendall's rank correlation of values, one for each speed, with the speeds, by phase."""
    ranks = {}
    for phase in INFERENCE_FIRST:
        of_phase = [speed.load.phase == phase for speed in speeds]
        real = np.array([speed.images_per_second for speed in speeds])[of_phase]
        rank = kendalltau(np.asarray(values)[of_phase], real)[0] if any(of_phase) else math.nan
        ranks[f"{phase}_rank"] = float(rank)
    return ranks


def newest_files() -> list[str]:
    """Of each phase and GPU timm's newest file: eager, channels first, mixed precision."""
    table = benchmarks().query(ALIKE)
    newest = table.sort_values("torch", key=lambda versions: versions.map(_version), kind="stable")
    return newest.groupby(["phase", "device"])["source_file"].last().to_list()


def _version(name: str) -> tuple[int, ...]:
    """ "2.9.1" as numbers, so that 2.10 is newer than 2.9."""
    return tuple(map(int, name.split(".")))


def refit_for(file: str) -> Refit:
    """What fits two constants to speeds of one of timm's files, with a robust loss."""
    ceiling = datasheet(benchmark_conditions(file)["device"])
    return partial(fit, free=TWO, rules=RULES, robust=True, ceiling=ceiling)


@cache
def published_errors() -> pd.DataFrame:
    """`proxy_errors` on each of `newest_files`, to which two constants are fitted.

    Columns: where, phase, networks, by, median, rms, rank.
    """
    frames = []
    for file in newest_files():
        ran, speeds = benchmark_conditions(file), published_speeds(file)
        errors = proxy_errors(speeds, predictions(speeds, refit_for(file)))
        about = {"where": f"{ran['device']}, torch {ran['torch']}", "phase": ran["phase"]}
        about |= {"networks": len(speeds), "rank": errors[f"{ran['phase']}_rank"]}
        frames.append(errors.assign(**about))
    columns = ["where", "phase", "networks", "by", "median", "rms", "rank"]
    return pd.concat(frames, ignore_index=True)[columns]


def cpu_ranks() -> pd.DataFrame:
    """How well each number alone orders the speeds of timm's files of CPUs (compiled, one image).

    Columns: by, rank (the median over the files), worst_rank.
    """
    files = benchmarks().query("dtype == 'float32'")["source_file"].unique()
    rows = []
    for file in files:
        speeds = published_speeds(file)
        for name, proxy in PROXIES.items():
            order = rank_correlations(speeds, [1 / proxy(speed) for speed in speeds])
            rows.append({"by": name, "rank": order["inference_rank"]})
    ranks = pd.DataFrame(rows).groupby("by", sort=False)["rank"]
    return ranks.agg(rank="median", worst_rank="min").reset_index()


def over_files(errors: pd.DataFrame) -> pd.DataFrame:
    """`published_errors` of all files together.

    Columns: by, median and rank (the medians over the files), worst (the largest median error) and
    worst_rank (the lowest).
    """
    files = errors.groupby("by", sort=False)
    columns = {"median": ("median", "median"), "worst": ("median", "max")}
    columns |= {"rank": ("rank", "median"), "worst_rank": ("rank", "min")}
    return files.agg(**columns).reset_index()

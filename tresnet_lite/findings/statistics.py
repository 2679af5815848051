"""Accuracies of networks trained from several seeds → gains with intervals, tested and corrected.

Two rungs are compared seed by seed: the same seed gives both the same order of images. The interval
and the test are Student's, over the seeds; a set's tests are corrected together by Holm's method.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import pandas as pd
from scipy.stats import ttest_1samp

from tresnet_lite.ablation import RESNET50, ablation_ladder
from tresnet_lite.paper import paper_table
from tresnet_lite.records import Record

ALPHA = 0.05  # a difference counts where its corrected p is below; the intervals are of 1 - ALPHA
HIGHER, LOWER, NOT_TOLD_APART, UNTESTED = "higher", "lower", "not told apart", "cannot be tested"


def results(records: Sequence[Record]) -> pd.DataFrame:
    """A line for each network. Columns: run (settings and source), data, rung, seed, top1 (%).

    A run is what shares settings and device; of a training that was recorded twice the later record
    counts.
    """
    dated = sorted((r for r in records if r.metric == "top1"), key=lambda r: r.provenance.date)
    rows, sources = [], {}
    for record in dated:
        run = (record.case, record.provenance.device)
        sources[run] = f"{record.case}; {record.label}"  # the last one's
        data = record.case.split(",")[0]
        rows.append((run, data, record.model, record.seed, record.value.median))
    frame = pd.DataFrame(rows, columns=["run", "data", "rung", "seed", "top1"])
    frame = frame.drop_duplicates(["run", "rung", "seed"], keep="last")
    return frame.assign(run=frame["run"].map(sources)).reset_index(drop=True)


def means(run: pd.DataFrame, rungs: Sequence[str]) -> pd.DataFrame:
    """The accuracy of some of a run's rungs. Columns: rung, mean, low, high, interval, networks."""
    rows = []
    for rung in rungs:
        values = run.loc[run["rung"] == rung, "top1"].tolist()
        row = {"rung": rung, "mean": sum(values) / len(values), "networks": len(values)}
        rows.append(row | _bounds(values, ".2f"))
    return pd.DataFrame(rows)


def levels(run: pd.DataFrame) -> pd.DataFrame:
    """Accuracy of each rung of one run of `results`, ImageNet's as printed beside it.

    Columns: rung, mean, low, high, interval (as text), networks, paper_top1 (quoted).
    """
    table = means(run, _rungs(run))
    return table.assign(paper_top1=table["rung"].map(_printed()))


def paired(run: pd.DataFrame, pairs: Sequence[tuple[str, str]]) -> pd.DataFrame:
    """Pairs of a base and a rung of one run, compared seed by seed and corrected together.

    Columns: rung, base, seeds (that both have), gain (points, their mean), low, high, interval (as
    text), p (paired t test), corrected (Holm), word.
    """
    wide = run.pivot(index="seed", columns="rung", values="top1")
    rows = []
    for base, rung in pairs:
        both = base in wide and rung in wide
        values = (wide[rung] - wide[base]).dropna().tolist() if both else []
        gain = sum(values) / len(values) if values else math.nan
        row = {"rung": rung, "base": base, "seeds": len(values), "gain": gain}
        rows.append(row | _bounds(values, "+.2f") | {"p": paired_p(values)})
    columns = ("rung", "base", "seeds", "gain", "low", "high", "interval", "p")
    frame = pd.DataFrame(rows, columns=columns)
    frame["corrected"] = holm(frame["p"].tolist())
    frame["word"] = [word(*row) for row in frame[["gain", "corrected"]].itertuples(index=False)]
    return frame


def gains(run: pd.DataFrame) -> pd.DataFrame:
    """Each rung against the one before, then against ResNet50, with the gain that the paper prints.

    Columns: those of `paired`, and paper_gain (points, quoted).
    """
    table, printed = paired(run, comparisons(_rungs(run))), _printed()
    return table.assign(paper_gain=table["rung"].map(printed) - table["base"].map(printed))


def comparisons(rungs: Sequence[str]) -> list[tuple[str, str]]:
    """Pairs of a base and a rung: each step, then ResNet50 with each rung after the second."""
    steps = list(pairwise(rungs))
    far = [(RESNET50, rung) for rung in rungs if rung != RESNET50] if RESNET50 in rungs else []
    return steps + [pair for pair in far if pair not in steps]


def _rungs(run: pd.DataFrame) -> list[str]:
    """Those of the ladder that a run has, in the ladder's order."""
    return [rung for rung in ablation_ladder() if rung in set(run["rung"])]


def _printed() -> dict[str, float]:
    return paper_table(4).set_index("refinement")["top1"].to_dict()


def _bounds(values: Sequence[float], spec: str) -> dict[str, object]:
    low, high = interval(values)
    text = "–" if math.isnan(low) else f"{low:{spec}} to {high:{spec}}"
    return {"low": low, "high": high, "interval": text}


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Student's interval for the mean, of level 1 - ALPHA; NaN for one value, or no spread."""
    if len(set(values)) < 2:
        return math.nan, math.nan
    bounds = ttest_1samp(values, 0).confidence_interval(1 - ALPHA)
    return float(bounds.low), float(bounds.high)


def paired_p(differences: Sequence[float]) -> float:
    """Two-sided p of the t test that the mean difference is zero; NaN for one seed, or no spread.

    A test on the signs' permutations would need no normality, but cannot give less than 2/2ⁿ from n
    seeds.
    """
    return float(ttest_1samp(differences, 0).pvalue) if len(set(differences)) > 1 else math.nan


def holm(ps: Sequence[float]) -> list[float]:
    """Holm's corrected p-values (1979), in the same order. NaN stands for no test, and stays."""
    order = sorted((i for i, p in enumerate(ps) if not math.isnan(p)), key=lambda i: ps[i])
    corrected, largest = [math.nan] * len(ps), 0.0
    for done, i in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - done) * ps[i]))
        corrected[i] = largest
    return corrected


def word(gain: float, corrected: float) -> str:
    """What a corrected test says. No significance is not equality."""
    if math.isnan(corrected):
        return UNTESTED
    if corrected >= ALPHA:
        return NOT_TOLD_APART
    return HIGHER if gain > 0 else LOWER

"""Accuracies of networks trained from several seeds → gains with intervals, tested and corrected.

Two rungs are compared seed by seed: the same seed gives both the same order of images. The
intervals are Student's, over the seeds. Those of one set hold together (Bonferroni): of m
comparisons each has the level 1 - ALPHA/m, so that all of them cover with at least 1 - ALPHA. A
difference counts where its interval excludes zero, which is where m times its p is below ALPHA.

Other held-out images would shift all accuracies. A record does not say which images were right, so
that part of the uncertainty is bounded from above: see `images_error`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import pandas as pd
from scipy.stats import norm, ttest_1samp

from tresnet_lite.ablation import RESNET50, ablation_ladder
from tresnet_lite.paper import paper_table
from tresnet_lite.records import Record

ALPHA = 0.05  # how often at most a set of comparisons may hold a false difference
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


def paired(
    run: pd.DataFrame, pairs: Sequence[tuple[str, str]], held_out: int | None = None
) -> pd.DataFrame:
    """Pairs of a base and a rung of one run, compared seed by seed and judged together.

    Columns: rung, base, seeds (that both have), gain (points, their mean), low, high, interval (as
    text; simultaneous), corrected (p of the paired t test, times the number of tests), word; and
    wide_low, wide_high, the interval for other held-out images too, which is at most that wide (NaN
    where it is not known how many images were held out).

    Args:
        held_out: images that the accuracies are of.
    """
    wide = run.pivot(index="seed", columns="rung", values="top1")
    none = pd.DataFrame(columns=["base", "rung"], dtype=float)
    compared = {
        pair: wide[list(pair)].dropna().set_axis(["base", "rung"], axis=1)
        if set(pair) <= set(wide)
        else none
        for pair in pairs
    }
    differences = {pair: (t["rung"] - t["base"]).tolist() for pair, t in compared.items()}
    tests = sum(len(set(values)) > 1 for values in differences.values())
    rows = []
    for (base, rung), values in differences.items():
        gain = sum(values) / len(values) if values else math.nan
        row = {"rung": rung, "base": base, "seeds": len(values), "gain": gain}
        row |= _bounds(values, "+.2f", tests) | {"corrected": min(1.0, tests * paired_p(values))}
        half = math.nan
        if held_out and len(set(values)) > 1:
            both = compared[base, rung]
            error = images_error(both["base"], both["rung"], held_out)
            half = math.hypot((row["high"] - row["low"]) / 2, _normal(tests) * error)
        row |= {"wide_low": gain - half, "wide_high": gain + half}
        rows.append(row | {"word": word(row["low"], row["high"])})
    columns = ("rung", "base", "seeds", "gain", "low", "high", "interval", "corrected", "word")
    return pd.DataFrame(rows, columns=[*columns, "wide_low", "wide_high"])


def images_error(first: Sequence[float], second: Sequence[float], held_out: int) -> float:
    """The largest standard error, in points, that the choice of held-out images can give a gain.

    Let d be, for one image, the mean over seeds of (second right) - (first right). A gain is the
    mean of d over the images, so its variance is that of d divided by their number. The mean of d²
    is at most the mean over seeds of the share of images on which the two disagree, and they cannot
    disagree on more images than they are wrong on together, or right on together.

    Args:
        first, second: top-1 in per cent, seed by seed.
    """
    pairs = [(a / 100, b / 100) for a, b in zip(first, second, strict=True)]
    apart = sum(min(a + b, 2 - a - b) for a, b in pairs) / len(pairs)
    gain = sum(b - a for a, b in pairs) / len(pairs)
    return 100 * math.sqrt(max(apart - gain**2, 0) / held_out)


def _normal(tests: int) -> float:
    """Standard errors to either side of one of `tests` intervals that hold together."""
    return float(norm.ppf(1 - ALPHA / (2 * tests)))


def gains(run: pd.DataFrame, held_out: int | None = None) -> pd.DataFrame:
    """Each rung against the one before, then against ResNet50, with the gain that the paper prints.

    Columns: those of `paired`, and paper_gain (points, quoted).
    """
    pairs, printed = comparisons(_rungs(run)), printed_gains()
    table = paired(run, pairs, held_out)
    return table.assign(paper_gain=[printed[pair] for pair in pairs])


def printed_gains() -> dict[tuple[str, str], float]:
    """Points of top-1 that Table 4 prints between any two rungs, (base, rung)."""
    printed = _printed()
    return {(a, b): printed[b] - printed[a] for a in printed for b in printed}


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


def _bounds(values: Sequence[float], spec: str, tests: int = 1) -> dict[str, object]:
    low, high = interval(values, tests)
    text = "–" if math.isnan(low) else f"{low:{spec}} to {high:{spec}}"
    return {"low": low, "high": high, "interval": text}


def interval(values: Sequence[float], tests: int = 1) -> tuple[float, float]:
    """Student's interval for the mean, one of `tests` that hold together; NaN without a spread."""
    if len(set(values)) < 2:
        return math.nan, math.nan
    bounds = ttest_1samp(values, 0).confidence_interval(1 - ALPHA / tests)
    return float(bounds.low), float(bounds.high)


def paired_p(differences: Sequence[float]) -> float:
    """Two-sided p of the t test that the mean difference is zero; NaN for one seed, or no spread.

    A test on the signs' permutations would need no normality, but cannot give less than 2/2ⁿ from n
    seeds.
    """
    return float(ttest_1samp(differences, 0).pvalue) if len(set(differences)) > 1 else math.nan


def word(low: float, high: float) -> str:
    """What an interval of a difference says. One that holds zero does not say that it is zero."""
    if math.isnan(low):
        return UNTESTED
    if low <= 0 <= high:
        return NOT_TOLD_APART
    return HIGHER if low > 0 else LOWER

"""What counting predicts for the paper's V100 (`tresnet_lite.predict`), claim by claim.

The constants are fitted to the speeds that the paper prints, without those of the networks that a
claim compares. An interval contains the residuals of networks, so that it seldom decides between
two that are nearly alike.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import torch

from tresnet_lite.bench.comparisons import COMPARISONS, EFFICIENTNETS, ONE_PHASE, TABLES, TRESNETS
from tresnet_lite.claims.asked import Asked, Network, arguments, asked
from tresnet_lite.claims.evidence import (
    FAILS,
    HOLDS,
    UNDECIDED,
    Evidence,
    Word,
    shortened,
)
from tresnet_lite.claims.tables import trained_in_time
from tresnet_lite.claims.verdict import near
from tresnet_lite.counting.published_abn import with_published_passes
from tresnet_lite.findings.curves import heights
from tresnet_lite.findings.landscape import NETWORK_NAMES, top1_by_network
from tresnet_lite.findings.tables import PAPER_SIDE
from tresnet_lite.paper import MODELS, NAMES, paper_ratio
from tresnet_lite.predict.constants import V100, fit_paper
from tresnet_lite.predict.devices import device_memory
from tresnet_lite.predict.fit import Fit, Prediction
from tresnet_lite.predict.load import Load, load_of
from tresnet_lite.predict.memory import largest_batch
from tresnet_lite.predict.paper_speeds import BUILT, paper_batch, paper_speeds
from tresnet_lite.predict.roofline import demand, share_of_bytes
from tresnet_lite.predict.sources import counted_load

# Parts of a network, and one network at two batches: the paper's speeds say nothing about them.
DRAWS = 200
NOT_PREDICTED = ("memory/activation alone", "memory/batch")


def predicted(check: Mapping[str, object]) -> Evidence | None:
    """What counting says of a claim with this check; None where it says nothing."""
    if of_check := _OF_CHECK.get(str(check["name"])):
        return of_check(**arguments(check))
    ratios = asked(check)
    if not ratios or any(ratio.model.comparison in NOT_PREDICTED for ratio in ratios):
        return None
    found = [_ratio(ratio) for ratio in ratios]
    left_out = dict.fromkeys(name for _, names in found for name in names)
    predictions = [prediction for prediction, _ in found]
    word = _word(ratios, predictions)
    return Evidence(word, shortened([_text(p) for p in predictions]), _source(left_out))


def _word(ratios: Sequence[Asked], predictions: Sequence[Prediction]) -> Word:
    """Does each interval lie within its range, or one of them outside?"""
    pairs = list(zip(ratios, predictions, strict=True))
    if any(p.high < asked.low or asked.high < p.low for asked, p in pairs):
        return FAILS
    inside = all(asked.low <= p.low and p.high <= asked.high for asked, p in pairs)
    return HOLDS if inside else UNDECIDED


def _text(p: Prediction) -> str:
    return f"{p.value:.2f}× ({p.low:.2f}–{p.high:.2f})"


def _source(left_out: Sequence[str] | Mapping[str, None]) -> str:
    without = f" without {', '.join(left_out)}" if left_out else ""
    return f"predicted ({V100}, from the paper's other speeds{without})"


def _ratio(ratio: Asked) -> tuple[Prediction, list[str]]:
    """The predicted ratio, and the networks whose printed speeds it does not rest on."""
    compared = {network.known_as for network in (ratio.model, ratio.base)}
    printed = {speed.name: BUILT.get(speed.name, speed.name) for speed in paper_speeds()}
    left_out = [name for name, built in printed.items() if built in compared]
    one, other = ((_load(n, ratio.phase), _batch(n)) for n in (ratio.model, ratio.base))
    return _fit_without(frozenset(left_out)).ratio(one, other), left_out


@cache
def _fit_without(names: frozenset[str]) -> Fit:
    return fit_paper([speed for speed in paper_speeds() if speed.name not in names])


def _batch(network: Network) -> int:
    name = network.known_as
    return paper_batch(NAMES.get(name, name), network.side)


@cache
def _load(network: Network, phase: str) -> Load:
    """The load of a network, the published Inplace-ABN in place of ours."""
    if not network.comparison:
        return counted_load(network.known_as, network.side, phase, "published")
    with torch.device("meta"):
        built = COMPARISONS[network.comparison].build(64)[network.name]
    return load_of(with_published_passes(built.to("meta")), network.side, phase)


def _curve(*, number: int) -> Evidence:
    """Do all TResNets of a figure lie above the EfficientNets' curve, by predicted speeds?"""
    suite = f"figure{number}"
    networks = [Network(name, EFFICIENTNETS.get(name, PAPER_SIDE)) for name in TABLES[suite]]
    networks += [Network(name, 448) for name in TRESNETS]
    left_out = [NAMES[name] for name in TRESNETS]
    fit, rows, width = _fit_without(frozenset(left_out)), [], 1.0
    for network in networks:
        speed = fit.predict(_load(network, ONE_PHASE[suite]), _batch(network))
        name = NETWORK_NAMES[network.name]
        rows.append((name, network.side, top1_by_network()[name, network.side][0], speed.value))
        width = max(width, speed.high / speed.value)
    lines = pd.DataFrame(rows, columns=["network", "resolution", "top1", "speed"])
    gaps, slack = heights(lines)["above"], width ** math.sqrt(2)  # of two speeds, both predicted
    word = UNDECIDED
    if (heights(lines, slack=1 / slack)["above"] < 0).any():
        word = FAILS
    elif (heights(lines, slack=slack)["above"] > 0).all():
        word = HOLDS
    counts = f"{(gaps > 0).sum()} of {len(gaps)}, {gaps.min():+.1f} to {gaps.max():+.1f} points"
    return Evidence(word, counts, _source(left_out))


def _hours(*, networks: Sequence[str], gpu: str, gpus: int, hours: float) -> Evidence | None:
    """Would `gpus` V100s, each at the predicted speed, train for less than `hours`?"""
    if gpu != V100:
        return None
    fit = _fit_without(frozenset(networks))
    models = {name: Network(MODELS[name]) for name in networks}
    speeds = {name: fit.predict(_load(m, "training"), _batch(m)) for name, m in models.items()}
    ends = {end: {n: getattr(s, end) for n, s in speeds.items()} for end in ("low", "high")}
    slowest, _, _ = trained_in_time(ends["low"], gpus, hours)
    fastest, _, _ = trained_in_time(ends["high"], gpus, hours)
    _, _, times = trained_in_time({n: s.value for n, s in speeds.items()}, gpus, hours)
    word = HOLDS if slowest else UNDECIDED if fastest else FAILS
    return Evidence(word, times, _source(networks))


def _limits(*, networks: Sequence[str], phase: str) -> Evidence:
    """Does memory limit more than half of each network's predicted time?

    The interval is that of constants drawn from their covariance.
    """
    fit = _fit_without(frozenset())
    steps = []
    for name in networks:
        network = Network(MODELS[name], EFFICIENTNETS.get(MODELS[name], PAPER_SIDE))
        steps.append((_load(network, phase), _batch(network)))
    asked_for = demand(steps, fit.rules)
    centre = np.log([getattr(fit.rates, name) for name in fit.free])
    draws = np.random.default_rng(0).multivariate_normal(centre, fit.covariance, DRAWS)
    rates = [replace(fit.rates, **dict(zip(fit.free, np.exp(d), strict=True))) for d in draws]
    shares = share_of_bytes(asked_for, fit.rates)
    low, high = np.quantile([share_of_bytes(asked_for, r) for r in rates], (0.025, 0.975), axis=0)
    word = UNDECIDED
    if (low > 1 / 2).all():
        word = HOLDS
    elif (high < 1 / 2).any():
        word = FAILS
    texts = [
        f"{name} {share:.0%} ({ends[0]:.0%}–{ends[1]:.0%})"
        for name, share, *ends in zip(networks, shares, low, high, strict=True)
    ]
    return Evidence(word, ", ".join(texts), _source([]))


def _share(
    *, suite: str, case: str, phase: str, part: str, whole: str, base: str, at_least: float
) -> Evidence:
    """Does a part lose at least such a share of what the whole loses, by predicted ratios?"""
    name = f"{suite}/{case}"
    asked_for = [
        Asked(Network(n, comparison=name), Network(base, comparison=name), phase)
        for n in (part, whole)
    ]
    (own, _), (all_, _) = map(_ratio, asked_for)
    share = f"{(1 - own.value) / (1 - all_.value):.0%} of {1 - all_.value:.1%}"
    word = UNDECIDED
    if all_.high < 1:
        low, high = (1 - own.high) / (1 - all_.low), (1 - own.low) / (1 - all_.high)
        word = HOLDS if low >= at_least else FAILS if high < at_least else UNDECIDED
    return Evidence(word, share, _source([]))


def _batches(
    *,
    network: Mapping[str, str],
    base: Mapping[str, str],
    at_least: float | None = None,
    paper: dict[str, dict] | None = None,
    tolerance: float = 0.0,
) -> Evidence:
    """Do the counted largest batches of a V100's memory have the ratio that is claimed?"""
    ours, theirs = (_largest_batch(**options) for options in (network, base))
    ratio = ours / theirs
    good = near(ratio, paper_ratio(**paper), tolerance)[0] if paper else ratio >= (at_least or 1)
    figures = f"{ratio:.2f}×, batches of {ours} and {theirs}"
    source = f"counted (bytes kept, {V100} of {device_memory(V100):g} GiB)"
    return Evidence(HOLDS if good else FAILS, figures, source)


@cache
def _largest_batch(model: str, norm: str = "", memory: str = "") -> int:
    kept = {"native": "published"}.get(norm, norm)
    return largest_batch(model, PAPER_SIDE, device_memory(V100) or math.nan, kept)


_OF_CHECK: dict[str, Callable[..., Evidence | None]] = {
    "above_curve": _curve,
    "trains_within": _hours,
    "limited_by_memory": _limits,
    "loss_share": _share,
    "larger_batch": _batches,
    "largest_batch_ratio": _batches,
}

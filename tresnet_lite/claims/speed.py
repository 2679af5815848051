"""Checks of claims about speeds, on records of pairs that were timed alike at 224 pixels."""

from __future__ import annotations

import math
import statistics
from dataclasses import replace

from tresnet_lite.claims.verdict import (
    Verdict,
    inconclusive,
    judge,
    judge_interval,
    not_attempted,
    span,
)
from tresnet_lite.findings.ratios import Ratio, ratio_of, ratios
from tresnet_lite.findings.tables import PAPER_SIDE
from tresnet_lite.paper import paper_ratio
from tresnet_lite.records import Record, latest
from tresnet_lite.records.selection import standing

THIRD = 1 / 3  # of the paper's effect: as far as ours may be from it, unless the claim says else


def faster(
    records: list[Record], *, suite: str, case: str, phase: str, model: str, base: str
) -> list[Verdict]:
    """Is `model` faster than `base`? The interval of the ratio must lie above 1, or below."""
    pairs, absent = _ratios(records, model, base, suite=suite, case=case, phase=phase)
    return absent or [judge_interval(ratio, 1, math.inf, "> 1×") for ratio in pairs]


def not_slower(
    records: list[Record],
    *,
    suite: str,
    case: str,
    phase: str,
    model: str,
    base: str,
    tolerance: float,
) -> list[Verdict]:
    """Is the speed of `model` that of `base`, or higher, up to a loss that counts as negligible?"""
    pairs, absent = _ratios(records, model, base, suite=suite, case=case, phase=phase)
    least = 1 - tolerance
    return absent or [judge_interval(r, least, math.inf, f"≥ {least:g}×") for r in pairs]


def speed_ratio(
    records: list[Record],
    *,
    suite: str,
    case: str,
    phase: str,
    model: str,
    base: str,
    paper: dict[str, dict],
    tolerance: float = THIRD,
) -> list[Verdict]:
    """Is the speed of `model` over that of `base` the ratio of the paper's two figures?

    Args:
        paper: `cell` and `base_cell`.
        tolerance: a share of the paper's effect, which is the ratio's logarithm.
    """
    pairs, absent = _ratios(records, model, base, suite=suite, case=case, phase=phase)
    return absent or [judge_effect(r, paper_ratio(**paper), tolerance) for r in pairs]


def judge_effect(ratio: Ratio, printed: float, tolerance: float = THIRD) -> Verdict:
    """Is a measured ratio the printed one, to a share of the effect that is printed?"""
    return judge_interval(ratio, *effect_range(printed, tolerance), f"{printed:.3f}×")


def effect_range(printed: float, tolerance: float) -> tuple[float, float]:
    """The ratios whose logarithm is that of the printed one, to a share of it."""
    ends = (printed ** (1 - tolerance), printed ** (1 + tolerance))
    return min(ends), max(ends)


def loss_share(
    records: list[Record],
    *,
    suite: str,
    case: str,
    phase: str,
    part: str,
    whole: str,
    base: str,
    at_least: float,
) -> list[Verdict]:
    """Of the speed that `whole` loses to `base`, does `part` alone lose at least such a share?

    All three are timed alike on one device, so that no other device's loss comes in.
    """
    where = {"suite": suite, "case": case, "phase": phase}
    wholes, absent = _ratios(records, whole, base, **where)
    of_base = {ratio.base: ratio for ratio in wholes}
    verdicts = [
        _share(ratio, of_base[ratio.base], at_least, (part, whole, base))
        for ratio in ratios(records, part, base, **where)
        if ratio.base in of_base
    ]
    needs = f"no records; needs {base}, {part} and {whole}, {phase} at {PAPER_SIDE} px"
    return absent or verdicts or [not_attempted(needs)]


def _share(part: Ratio, whole: Ratio, at_least: float, names: tuple[str, str, str]) -> Verdict:
    """The verdict on a part's share of a loss, at either end of both intervals."""
    why = f"{names[1]} loses {1 - whole.value:.1%} of the speed of {names[2]}"
    why += f", {names[0]} alone {1 - part.value:.1%} ({whole.method})"
    wanted, label = f"≥ {at_least:.0%} of it", part.record.label
    if whole.high >= 1:
        return inconclusive(f"{why}: too little to share out", wanted, "", label)
    low, high = (1 - part.high) / (1 - whole.low), (1 - part.low) / (1 - whole.high)
    ours = f"{(1 - part.value) / (1 - whole.value):.0%} ({low:.0%} to {high:.0%})"
    if low < at_least <= high:
        return inconclusive(why, wanted, ours, label)
    return judge(low >= at_least, why, wanted, ours, label)


def _ratios(
    records: list[Record], model: str, base: str, **where: str
) -> tuple[list[Ratio], list[Verdict]]:
    """The ratios of whole networks at the paper's size; and the verdict where there are none."""
    pairs = ratios(records, model, base, **where)
    sizes = [(r.record.conditions.resolution, r.record.conditions.width or 0) for r in pairs]
    whole = [r for r, size in zip(pairs, sizes, strict=True) if size == (PAPER_SIDE, 0)]
    if whole:
        return whole, []
    ways = []
    for side, width in sorted(set(sizes)):
        ways.append(f"{side} px and width {width}" if width else f"{side} px")
    had = f"measured at {', '.join(ways)} only" if ways else "no records"
    needs = f"needs {model} and {base}, {where['phase']} at {PAPER_SIDE} px"
    return [], [not_attempted(f"{had}; {needs}")]


# Calls of single operations


def call_quicker(
    records: list[Record], *, suite: str, case: str, phase: str, model: str, base: str
) -> list[Verdict]:
    """Is a call of `model` quicker than one of `base`, beyond the intervals, at most places?"""
    devices, absent = _calls(records, model, base, suite=suite, case=case, phase=phase)
    return absent or [_quicker(places) for places in devices]


def _quicker(places: list[Ratio]) -> Verdict:
    """The verdict on ratios of speeds at several places."""
    quicker, slower = sum(r.low > 1 for r in places), sum(r.high < 1 for r in places)
    method = places[0].method
    counts = f"quicker at {quicker} of {len(places)} places, slower at {slower} ({method})"
    figures = ("> 1×", span(r.value for r in places), places[0].record.label)
    half = len(places) / 2
    if quicker <= half < len(places) - slower:  # the places that do not tell decide
        return inconclusive(counts, *figures)
    return judge(quicker > half, counts, *figures)


def call_speedup(
    records: list[Record],
    *,
    suite: str,
    case: str,
    phase: str,
    model: str,
    base: str,
    factor: float,
    tolerance: float,
    best: bool = False,
) -> list[Verdict]:
    """Is a call of `model` `factor` times as quick as one of `base`: the median, or best, place?"""
    devices, absent = _calls(records, model, base, suite=suite, case=case, phase=phase)
    verdicts, least = [], factor * (1 - tolerance)
    for places in devices:
        which, choose = ("best", max) if best else ("median", statistics.median_low)
        place = next(r for r in places if r.value == choose(r.value for r in places))
        verdict = judge_interval(place, least, math.inf, f"{factor:g}×")
        why = f"{which} of {len(places)} places {verdict.why}"
        verdicts.append(replace(verdict, why=why))
    return absent or verdicts


def _calls(
    records: list[Record], model: str, base: str, *, suite: str, case: str, phase: str
) -> tuple[list[list[Ratio]], list[Verdict]]:
    """For each device how much quicker `model` is, at each place, batch and dtype.

    Channels first, at the paper's size; and the verdict where there are none.
    """
    wanted = (suite, case, phase, "time", "channels_first")
    times: dict[tuple, dict[str, list[Record]]] = {}
    for repeats in standing(records).values():
        r, c = repeats[-1], repeats[-1].conditions
        if (r.suite, r.case, r.phase, r.metric, c.memory_format) == wanted:
            way = (r.provenance.device, c.resolution, r.part, c.batch, c.dtype)
            times.setdefault(way, {})[r.model] = repeats
    devices: dict[str, list[Ratio]] = {}
    for (device, side, *_), of_model in times.items():
        if side == PAPER_SIDE and model in of_model and base in of_model:
            # of times, the quicker is the smaller
            quicker = ratio_of(of_model[base], of_model[model])
            devices.setdefault(device, []).append(quicker)
    if devices:
        return list(devices.values()), []
    sides = sorted({side for _, side, *_ in times})
    had = f"measured for images of {', '.join(map(str, sides))} px" if sides else "no records"
    needs = f"needs {model} and {base}, {phase}, for images of {PAPER_SIDE} px"
    return [], [not_attempted(f"{had}; {needs}")]


def runs_at_any_size(records: list[Record], *, suite: str, case: str, model: str) -> list[Verdict]:
    """Was `model`, made once, run on inputs of several sizes?"""
    runs = [r for r in latest(records) if (r.suite, r.case, r.model) == (suite, case, model)]
    sizes = {(r.part, r.conditions.batch) for r in runs}
    if len(sizes) < 2:
        return [not_attempted(f"no records of {model} at two sizes")]
    why = "one function, made once, served all"
    return [judge(True, why, "any size", f"{len(sizes)} sizes", runs[0].label)]


def changes_less(records: list[Record], *, suite: str, model: str) -> list[Verdict]:
    """Do the features of `model` change less, when the image moves, than without its blurs?"""
    wanted = (suite, model, "shift_ratio")
    ratios = [r for r in latest(records) if (r.suite, r.model, r.metric) == wanted]
    verdicts = []
    for r in ratios:
        v = r.value
        if r.conditions.resolution == PAPER_SIDE:
            quartiles = f"{r.case}: quartiles {v.q1:.2f}–{v.q3:.2f}"
            why = f"{quartiles} over {v.repeats} pairs of photograph and seed"
            verdicts.append(judge(v.q3 < 1, why, "< 1×", f"{v.median:.2f}×", r.label))
    sides = sorted({r.conditions.resolution for r in ratios})
    had = f"measured at {', '.join(map(str, sides))} px only" if sides else "no records"
    needs = f"needs shifts of photographs of {PAPER_SIDE} px"
    return verdicts or [not_attempted(f"{had}; {needs}")]

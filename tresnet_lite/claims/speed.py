"""Checks of claims about speeds, on records of pairs that were timed alike at 224 pixels."""

from __future__ import annotations

import statistics

from tresnet_lite.claims.verdict import Verdict, judge, judge_ratio, not_attempted, span
from tresnet_lite.findings.tables import PAPER_SIDE
from tresnet_lite.paper import paper_ratio
from tresnet_lite.records import Record, latest, pair

Pairs = list[tuple[Record, Record]]
QUIET = 0.02  # quartiles this close, and two overlapping speeds are the same speed


def faster(
    records: list[Record], *, suite: str, case: str, phase: str, model: str, base: str
) -> list[Verdict]:
    """Is `model` faster than `base`, by more than the spread of both?"""
    pairs, absent = _pairs(records, model, base, suite=suite, case=case, phase=phase)
    return absent or [_faster(a, b) for a, b in pairs]


def _faster(a: Record, b: Record) -> Verdict:
    ratio = f"{_ratio(a, b):.3f}×"
    if a.value.q1 > b.value.q3:
        return judge(True, "faster, by more than the spread of both", "> 1×", ratio, a.label)
    if a.value.q3 < b.value.q1:
        return judge(False, "slower, by more than the spread of both", "> 1×", ratio, a.label)
    same = judge(False, "no difference beyond the spread of both", "> 1×", ratio, a.label)
    return _too_noisy(a, b, QUIET) or same


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
    pairs, absent = _pairs(records, model, base, suite=suite, case=case, phase=phase)
    return absent or [
        _too_noisy(a, b, tolerance) or _not_slower(_ratio(a, b), tolerance, a.label)
        for a, b in pairs
    ]


def _not_slower(ratio: float, tolerance: float, label: str) -> Verdict:
    why = f"{ratio - 1:+.1%} in speed (a loss of {tolerance:.0%} counts as negligible)"
    return judge(ratio >= 1 - tolerance, why, f"≥ {1 - tolerance:g}×", f"{ratio:.3f}×", label)


def speed_ratio(
    records: list[Record],
    *,
    suite: str,
    case: str,
    phase: str,
    model: str,
    base: str,
    paper: dict[str, dict],
    tolerance: float,
) -> list[Verdict]:
    """Is the speed of `model` over that of `base` the ratio of the paper's two figures?"""
    printed = paper_ratio(**paper)
    pairs, absent = _pairs(records, model, base, suite=suite, case=case, phase=phase)
    return absent or [
        _too_noisy(a, b, tolerance) or judge_ratio(_ratio(a, b), printed, tolerance, a.label)
        for a, b in pairs
    ]


def _ratio(a: Record, b: Record) -> float:
    return a.value.median / b.value.median


def _too_noisy(a: Record, b: Record, limit: float) -> Verdict | None:
    """The verdict where quartiles lie further apart than the difference to tell; else None."""
    noise = max((v.q3 - v.q1) / v.median for v in (a.value, b.value))
    why = f"too noisy to tell: quartiles {noise:.0%} apart, {limit:.0%} allowed"
    return not_attempted(why, label=a.label) if noise > limit else None


def _pairs(
    records: list[Record], model: str, base: str, **where: str
) -> tuple[Pairs, list[Verdict]]:
    """The pairs of whole networks at the paper's size; and the verdict where there are none."""
    pairs = pair(records, model, base, **where)
    sizes = [(a.conditions.resolution, a.conditions.width or 0) for a, _ in pairs]
    whole = [p for p, size in zip(pairs, sizes, strict=True) if size == (PAPER_SIDE, 0)]
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
    """Is a call of `model` quicker than one of `base`, beyond the spread, at most places?"""
    devices, absent = _calls(records, model, base, suite=suite, case=case, phase=phase)
    return absent or [_quicker(places) for places in devices]


def _quicker(places: Pairs) -> Verdict:
    quicker = sum(a.value.q3 < b.value.q1 for a, b in places)
    slower = sum(a.value.q1 > b.value.q3 for a, b in places)
    counts = f"quicker at {quicker} of {len(places)} places, slower at {slower}"
    ratios, label = span(_ratio(b, a) for a, b in places), places[0][0].label
    good = quicker > len(places) / 2
    return judge(good, f"{counts}, beyond the spread of both", "> 1×", ratios, label)


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
        ratios = [_ratio(b, a) for a, b in places]
        which, ratio = ("best", max(ratios)) if best else ("median", statistics.median(ratios))
        why = f"{which} of {len(places)} places {ratio:.2f}×, at least {least:.2f}× counts"
        label = places[0][0].label
        verdicts.append(judge(ratio >= least, why, f"{factor:g}×", span(ratios), label))
    return absent or verdicts


def _calls(
    records: list[Record], model: str, base: str, *, suite: str, case: str, phase: str
) -> tuple[list[Pairs], list[Verdict]]:
    """For each device the pairs of times, one for each place, batch and dtype.

    Channels first, at the paper's size; and the verdict where there are none.
    """
    wanted = (suite, case, phase, "time", "channels_first")
    times: dict[tuple, dict[str, Record]] = {}
    for r in latest(records):
        c = r.conditions
        if (r.suite, r.case, r.phase, r.metric, c.memory_format) == wanted:
            way = (r.provenance.device, c.resolution, r.part, c.batch, c.dtype)
            times.setdefault(way, {})[r.model] = r
    devices: dict[str, Pairs] = {}
    for (device, side, *_), of_model in times.items():
        if side == PAPER_SIDE and model in of_model and base in of_model:
            devices.setdefault(device, []).append((of_model[model], of_model[base]))
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

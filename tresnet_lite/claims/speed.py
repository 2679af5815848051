"""Checks of claims about speeds, on records of pairs that were timed alike."""

from __future__ import annotations

import statistics

from tresnet_lite.claims.verdict import NOT_ATTEMPTED, QUIET, REPRODUCED, Verdict, judge, near
from tresnet_lite.paper import paper_value
from tresnet_lite.records import Record, latest, pair


def _pairs(
    records: list[Record], resolution: int, model: str, than: str, **where: str
) -> tuple[list[tuple[Record, Record]], list[Verdict]]:
    """The pairs at the claim's resolution, of whole networks, and what to answer where there are
    none.
    """
    pairs = pair(records, model, than, **where)
    good = [
        p
        for p in pairs
        if (p[0].conditions.resolution, p[0].conditions.width) == (resolution, None)
    ]
    if good:
        return good, []
    sizes = sorted({(p[0].conditions.resolution, p[0].conditions.width or 0) for p in pairs})
    ways = [f"{side} px" + (f" and width {width}" if width else "") for side, width in sizes]
    found = f"measured at {', '.join(ways)} only" if ways else "no records"
    return [], [
        Verdict(
            NOT_ATTEMPTED, f"{found}; needs {model} and {than}, {where['phase']} at {resolution} px"
        )
    ]


def _too_noisy(a: Record, b: Record, limit: float) -> Verdict | None:
    """The verdict on two records whose quartiles lie further apart than the difference that is to
    be told.
    """
    noise = max((v.q3 - v.q1) / v.median for v in (a.value, b.value))
    if noise <= limit:
        return None
    return Verdict(
        NOT_ATTEMPTED,
        f"too noisy to tell: quartiles {noise:.0%} apart, {limit:.0%} allowed",
        "",
        "",
        a.label,
    )


def faster(
    records: list[Record],
    *,
    suite: str,
    case: str,
    phase: str,
    model: str,
    than: str,
    resolution: int = 224,
) -> list[Verdict]:
    """Is `model` faster than `than`, by more than the spread of both?"""
    pairs, verdicts = _pairs(records, resolution, model, than, suite=suite, case=case, phase=phase)
    for a, b in pairs:
        ours = f"{a.value.median / b.value.median:.3f}×"
        if a.value.q1 > b.value.q3:
            why = "faster, by more than the spread of both"
        elif a.value.q3 < b.value.q1:
            why = "slower, by more than the spread of both"
        elif noisy := _too_noisy(a, b, QUIET):
            verdicts.append(noisy)
            continue
        else:
            why = "no difference beyond the spread of both"
        verdicts.append(Verdict(judge(a.value.q1 > b.value.q3), why, "> 1×", ours, a.label))
    return verdicts


def speed_ratio(
    records: list[Record],
    *,
    suite: str,
    case: str,
    phase: str,
    model: str,
    than: str,
    paper: dict[str, dict],
    tolerance: float,
    resolution: int = 224,
) -> list[Verdict]:
    """Is the speed of `model` over that of `than` the ratio of the paper's two figures?"""
    printed = paper_value(**paper["of"]) / paper_value(**paper["to"])
    pairs, verdicts = _pairs(records, resolution, model, than, suite=suite, case=case, phase=phase)
    for a, b in pairs:
        ratio = a.value.median / b.value.median
        if noisy := _too_noisy(a, b, tolerance):
            verdicts.append(noisy)
            continue
        good, why = near(ratio, printed, tolerance)
        verdicts.append(Verdict(judge(good), why, f"{printed:.3f}×", f"{ratio:.3f}×", a.label))
    return verdicts


def _timed_pairs(
    records: list[Record],
    resolution: int,
    model: str,
    than: str,
    *,
    suite: str,
    case: str,
    phase: str,
) -> tuple[dict[str, list[tuple[Record, Record]]], list[Verdict]]:
    """For each device the pairs of call times, by place, batch and dtype; channels first."""
    found: dict[tuple, dict[str, Record]] = {}
    for r in latest(records):
        c = r.conditions
        what = (r.suite, r.case, r.phase, r.metric, c.memory_format)
        if what == (suite, case, phase, "time", "channels_first"):
            way = (r.provenance.device, c.resolution, r.part, c.batch, c.dtype)
            found.setdefault(way, {})[r.model] = r
    pairs: dict[str, list[tuple[Record, Record]]] = {}
    for (device, size, *_), r in found.items():
        if size == resolution and model in r and than in r:
            pairs.setdefault(device, []).append((r[model], r[than]))
    sizes = sorted({size for _, size, *_ in found})
    had = f"measured for images of {', '.join(map(str, sizes))} px" if sizes else "no records"
    needs = f"needs {model} and {than}, {phase}, for images of {resolution} px"
    return pairs, [] if pairs else [Verdict(NOT_ATTEMPTED, f"{had}; {needs}")]


def call_quicker(
    records: list[Record],
    *,
    suite: str,
    case: str,
    phase: str,
    model: str,
    than: str,
    resolution: int = 224,
) -> list[Verdict]:
    """Does a call of `model` take less time than one of `than`, beyond the spread of both, at most
    places?
    """
    pairs, verdicts = _timed_pairs(
        records, resolution, model, than, suite=suite, case=case, phase=phase
    )
    for timed in pairs.values():
        ratios = [b.value.median / a.value.median for a, b in timed]
        quicker = sum(a.value.q3 < b.value.q1 for a, b in timed)
        slower = sum(a.value.q1 > b.value.q3 for a, b in timed)
        why = (
            f"quicker at {quicker} of {len(timed)} places, slower at {slower}, beyond the spread of"
            " both"
        )
        verdicts.append(
            Verdict(judge(quicker > len(timed) / 2), why, "> 1×", _range(ratios), timed[0][0].label)
        )
    return verdicts


def call_speedup(
    records: list[Record],
    *,
    suite: str,
    case: str,
    phase: str,
    model: str,
    than: str,
    factor: float,
    tolerance: float,
    best: bool = False,
    resolution: int = 224,
) -> list[Verdict]:
    """Is a call of `model` `factor` times as quick as one of `than`, in the median over places, or
    at the best one?
    """
    pairs, verdicts = _timed_pairs(
        records, resolution, model, than, suite=suite, case=case, phase=phase
    )
    for timed in pairs.values():
        ratios = [b.value.median / a.value.median for a, b in timed]
        told, ratio = ("best", max(ratios)) if best else ("median", statistics.median(ratios))
        good = ratio >= factor * (1 - tolerance)
        why = (
            f"{told} of {len(timed)} places {ratio:.2f}×, at least {factor * (1 - tolerance):.2f}×"
            " counts"
        )
        verdicts.append(
            Verdict(judge(good), why, f"{factor:g}×", _range(ratios), timed[0][0].label)
        )
    return verdicts


def _range(ratios: list[float]) -> str:
    return f"{min(ratios):.2f}–{max(ratios):.2f}×"


def runs_at_any_size(records: list[Record], *, suite: str, case: str, model: str) -> list[Verdict]:
    """Was `model`, made once, run on inputs of several sizes?"""
    runs = [r for r in latest(records) if (r.suite, r.case, r.model) == (suite, case, model)]
    sizes = {(r.part, r.conditions.batch) for r in runs}
    if len(sizes) < 2:
        return [Verdict(NOT_ATTEMPTED, f"no records of {model} at two sizes")]
    why = "one function, made once, served all"
    return [Verdict(REPRODUCED, why, "any size", f"{len(sizes)} sizes", runs[0].label)]


def changes_less(
    records: list[Record], *, suite: str, model: str, resolution: int = 224
) -> list[Verdict]:
    """When the image moves, do the features of `model` change less than those of the same network
    without blurs?
    """
    found = [
        r for r in latest(records) if (r.suite, r.model, r.metric) == (suite, model, "shift_ratio")
    ]
    chosen = [r for r in found if r.conditions.resolution == resolution]
    if not chosen:
        sizes = sorted({r.conditions.resolution for r in found})
        had = f"measured at {', '.join(map(str, sizes))} px only" if sizes else "no records"
        return [Verdict(NOT_ATTEMPTED, f"{had}; needs shifts of photographs of {resolution} px")]
    verdicts = []
    for r in chosen:
        v = r.value
        why = (
            f"{r.case}: quartiles {v.q1:.2f}–{v.q3:.2f} over {v.repeats} pairs of photograph and"
            " seed"
        )
        verdicts.append(Verdict(judge(v.q3 < 1), why, "< 1×", f"{v.median:.2f}×", r.label))
    return verdicts


def not_slower(
    records: list[Record],
    *,
    suite: str,
    case: str,
    phase: str,
    model: str,
    than: str,
    tolerance: float,
    resolution: int = 224,
) -> list[Verdict]:
    """Is the speed of `model` that of `than`, or higher, up to a loss that counts as negligible?"""
    pairs, verdicts = _pairs(records, resolution, model, than, suite=suite, case=case, phase=phase)
    for a, b in pairs:
        if noisy := _too_noisy(a, b, tolerance):
            verdicts.append(noisy)
            continue
        ratio, least = a.value.median / b.value.median, 1 - tolerance
        why = f"{ratio - 1:+.1%} in speed (a loss of {tolerance:.0%} counts as negligible)"
        verdicts.append(
            Verdict(judge(ratio >= least), why, f"≥ {least:g}×", f"{ratio:.3f}×", a.label)
        )
    return verdicts

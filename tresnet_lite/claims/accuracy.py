"""Checks of claims about accuracies that were measured with the published weights."""

from __future__ import annotations

from tresnet_lite.claims.verdict import Verdict, judge, not_attempted
from tresnet_lite.evaluate.accuracy import of_record
from tresnet_lite.findings.accuracy import accuracy_records, why_not
from tresnet_lite.paper import NAMES, paper_value
from tresnet_lite.records import Record, latest


def published_accuracy(
    records: list[Record], *, model: str, table: int, tolerance: float, resolution: int = 224
) -> list[Verdict]:
    """Do the published weights reach the top-1 that a table prints, up to `tolerance` points?

    The weights and the images are the authors' own, so sampling plays no part: what may differ is
    the rounding of the printed figure (0.05), and how images are decoded and resized.
    """
    where = {"model": NAMES[model]} | ({"resolution": resolution} if table == 5 else {})
    printed = float(paper_value(table, "top1", **where))
    paper, verdicts = f"{printed:.1f} %", []
    for metrics in accuracy_records(latest(records), model, resolution).values():
        top1, label = metrics["top1"].value, metrics["top1"].label
        off = top1.median - printed
        why = f"{off:+.2f} points on {top1.repeats:,} images (tolerance {tolerance:g})"
        verdicts.append(judge(abs(off) <= tolerance, why, paper, f"{top1.median:.2f} %", label))
    return verdicts or [not_attempted(why_not(model, table), paper)]


def published_gain(records: list[Record], *, model: str, sizes: list[int]) -> list[Verdict]:
    """Are the larger size's published weights more accurate, beyond the intervals of both?"""
    lesser, greater = (paper_value(5, "top1", model=NAMES[model], resolution=s) for s in sizes)
    paper, verdicts = f"{greater - lesser:+.1f} points", []
    small, large = (accuracy_records(latest(records), model, size) for size in sizes)
    for device in (device for device in small if device in large):
        a, b = small[device]["top1"], large[device]["top1"]
        (_, upper), (lower, _) = of_record(a).interval(), of_record(b).interval()
        apart, (x, y) = lower > upper, (a.value.median, b.value.median)
        both = f"{x:.2f} % at {sizes[0]} px, {y:.2f} % at {sizes[1]} px"
        why = f"{both}, 95 % intervals {'apart' if apart else 'not apart'}"
        verdicts.append(judge(apart, why, paper, f"{y - x:+.2f} points", b.label))
    return verdicts or [not_attempted(why_not(model, 5), paper)]

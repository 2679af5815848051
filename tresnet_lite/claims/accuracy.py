"""Checks of claims about accuracies that were measured with the published weights."""

from __future__ import annotations

from tresnet_lite.claims.verdict import DIFFERS, NOT_ATTEMPTED, REPRODUCED, Verdict
from tresnet_lite.evaluate.accuracy import of_record, protocol_of
from tresnet_lite.findings.accuracy import accuracy_records, why_not
from tresnet_lite.paper import NAMES, paper_table, paper_value
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
    verdicts = []
    for found in accuracy_records(
        latest(records), model, resolution, protocol_of(resolution)
    ).values():
        r = found["top1"]
        off = r.value.median - printed
        why = f"{off:+.2f} points on {r.value.repeats:,} images (tolerance {tolerance:g})"
        good = abs(off) <= tolerance
        ours = f"{r.value.median:.2f} %"
        verdicts.append(
            Verdict(REPRODUCED if good else DIFFERS, why, f"{printed:.1f} %", ours, r.label)
        )
    return verdicts or [Verdict(NOT_ATTEMPTED, why_not(model, table), f"{printed:.1f} %")]


def published_gain(records: list[Record], *, model: str, sizes: list[int]) -> list[Verdict]:
    """Are the published weights of the larger size more accurate than those of the smaller, beyond
    both intervals?
    """
    printed = paper_table(5).query("model == @NAMES[@model]").set_index("resolution")["top1"]
    said = f"{printed[sizes[1]] - printed[sizes[0]]:+.1f} points"
    small, large = (
        accuracy_records(latest(records), model, size, protocol_of(size)) for size in sizes
    )
    verdicts = []
    for device in small.keys() & large.keys():
        a, b = small[device]["top1"], large[device]["top1"]
        (_, upper), (lower, _) = of_record(a).interval(), of_record(b).interval()
        why = (
            f"{a.value.median:.2f} % at {sizes[0]} px, {b.value.median:.2f} % at {sizes[1]} px, 95"
            " % intervals"
        )
        why += " apart" if lower > upper else " not apart"
        gain = f"{b.value.median - a.value.median:+.2f} points"
        verdicts.append(Verdict(REPRODUCED if lower > upper else DIFFERS, why, said, gain, b.label))
    return verdicts or [Verdict(NOT_ATTEMPTED, why_not(model, 5), said)]

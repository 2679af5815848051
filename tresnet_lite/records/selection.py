"""Which records stand where several were made, and what several processes say together."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Iterable

from tresnet_lite.records.records import MIN_REPEATS, Record, Spread

PROCESS = "process "  # before its number, which ends the id of a point that processes repeat

Repeats = dict[str, Record]  # point → the last record that it gave


def standing(records: Iterable[Record]) -> dict[tuple[object, ...], list[Record]]:
    """The records that stand, by their key: of each case the last that each point gave."""
    by_key: dict[tuple[object, ...], Repeats] = {}
    # stable: of one second's, the last appended
    for record in sorted(records, key=lambda r: r.provenance.moment):
        repeats = by_key.setdefault(record.key, {})
        repeats.pop(record.point, None)  # the newest point comes last
        repeats[record.point] = record
    return {key: list(repeats.values()) for key, repeats in by_key.items()}


def latest(records: Iterable[Record]) -> list[Record]:
    """The records that stand, one for each case: of a comparison, what its processes say together.

    Where a case was measured in several ways, what most processes measured stands, and of as many
    the newest.
    """
    return [together(_best_known(repeats)) for repeats in standing(records).values()]


def together(repeats: list[Record]) -> Record:
    """One record of what several processes measured: quartiles over their medians, if they are 3.

    Of fewer, the median of their medians, and the least and the greatest of their quartiles.
    """
    last = repeats[-1]
    if len(repeats) == 1:
        return last
    values = [record.value for record in repeats]
    value = Spread.over(v.median for v in values)
    if len(values) < MIN_REPEATS:
        low, high = min(v.q1 for v in values), max(v.q3 for v in values)
        median = statistics.median(v.median for v in values)
        value = Spread(median, low, high, sum(v.repeats for v in values))
    return dataclasses.replace(last, value=value)


def _best_known(repeats: list[Record]) -> list[Record]:
    families: dict[str, list[Record]] = {}
    for record in repeats:
        name, _, number = record.point.rpartition(PROCESS)
        families.setdefault(name if number.isdigit() else record.point, []).append(record)
    most = max(map(len, families.values()))
    return [family for family in families.values() if len(family) == most][-1]

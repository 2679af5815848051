"""Which records stand where several were made, and which may be compared."""

from __future__ import annotations

from collections.abc import Iterable

from tresnet_lite.records.records import Record


def latest(records: Iterable[Record]) -> list[Record]:
    """The records that stand: of each case the last measured."""
    # stable: of one second's, the last appended
    by_date = sorted(records, key=lambda r: r.provenance.moment)
    return list({record.key: record for record in by_date}.values())


def pair(
    records: Iterable[Record], model: str, base: str, **where: str
) -> list[tuple[Record, Record]]:
    """Throughputs of two models that may be compared: a pair for each device and way of running.

    `where` narrows the records by suite, case or phase. Both models of a pair saw images of one
    size, in one dtype, memory format, compile mode, memory budget and width. They may differ in
    norm and in batch, as the paper's do (90 % of each model's largest); of several batches the
    largest counts.
    """
    largest: dict[tuple[object, str], Record] = {}
    for r in latest(records):
        if r.metric != "throughput" or any(getattr(r, name) != x for name, x in where.items()):
            continue
        c = r.conditions
        ran = (c.resolution, c.dtype, c.memory_format, c.compile, c.memory_budget, c.width)
        way = (r.provenance.device, r.phase, *ran)
        if (way, r.model) not in largest or c.batch > largest[way, r.model].conditions.batch:
            largest[way, r.model] = r
    return [
        (r, largest[way, base])
        for (way, name), r in largest.items()
        if name == model and (way, base) in largest
    ]

"""From predictions to accuracies, with the interval that so many images allow, and to records."""

from __future__ import annotations

import statistics
from collections.abc import Collection, Mapping, Sequence

from tresnet_lite.bench.compare import norm_backend
from tresnet_lite.evaluate.accuracy import SUITE, Accuracy
from tresnet_lite.evaluate.predictions import TOP, Predictions
from tresnet_lite.evaluate.subjects import Subject
from tresnet_lite.model import TResNet
from tresnet_lite.records import Conditions, Record, Spread
from tresnet_lite.records.records import MIN_REPEATS


def score(
    found: Predictions, labels: Sequence[Collection[int]] | None = None
) -> tuple[Accuracy, Accuracy]:
    """Top-1 and top-5: is a label the likeliest class, or among the five likeliest?

    Args:
        labels: for each place in the data set the labels that count as right, as ReaL has them; an
            image with none is left out. None for the data set's own.

    Raises:
        ValueError: there is no image to score.
    """
    right: Mapping[int, Collection[int]] = {
        index: {found.labels[index]} if labels is None else set(labels[index])
        for index in found.top
    }
    counted = [index for index in found.top if right[index]]
    if not counted:
        raise ValueError("there is no image to score: none could be read, or none has a label")
    first = sum(found.top[index][0] in right[index] for index in counted)
    five = sum(not right[index].isdisjoint(found.top[index][:TOP]) for index in counted)
    return Accuracy(first, len(counted)), Accuracy(five, len(counted))


def case_of(images: str, protocol: str, real: bool = False) -> str:
    """A record's case: the images, how they were brought to size, and whose labels counted."""
    return ", ".join([images, protocol, *(["ReaL labels"] if real else [])])


def to_records(
    of: Subject,
    images: str,
    found: Predictions,
    scores: tuple[Accuracy, Accuracy],
    *,
    batch: int,
    dtype: str,
    real: bool = False,
) -> list[Record]:
    """Records of top-1, top-5 and, of three batches or more, of the speed with reading.

    An accuracy's quartiles are the ends of Wilson's 50 % interval, and its repeats are the images:
    from these two any interval follows (`accuracy.of_record`).
    """
    memory = of.network.config.memory if isinstance(of.network, TResNet) else None
    ran = Conditions(batch, of.size, dtype, norm=norm_backend(of.network), memory=memory)
    case = case_of(images, of.protocol, real)

    def record(metric: str, value: Spread, part: str = "") -> Record:
        here = found.provenance
        return Record(SUITE, case, of.name, "inference", metric, value, ran, here, part=part)

    made = [
        record(metric, _spread(of_one))
        for metric, of_one in zip(("top1", "top5"), scores, strict=True)
    ]
    speeds = found.speeds_of(batch)
    if len(speeds) >= MIN_REPEATS and not real:
        q1, median, q3 = statistics.quantiles(speeds, n=4, method="inclusive")
        made.append(record("throughput", Spread(median, q1, q3, len(speeds)), "with reading"))
    return made


def _spread(of_one: Accuracy) -> Spread:
    low, high = of_one.interval(0.5)
    return Spread(of_one.percent, low, high, of_one.images)

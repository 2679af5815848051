"""From predictions to accuracies, with the interval that so many images allow, and to records."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from tresnet_lite.bench.compare import norm_backend
from tresnet_lite.evaluate.accuracy import SUITE, Accuracy
from tresnet_lite.evaluate.predictions import TOP, Predictions
from tresnet_lite.evaluate.subjects import Subject
from tresnet_lite.model import TResNet
from tresnet_lite.records import Conditions, Record, Spread
from tresnet_lite.records.records import MIN_REPEATS


def score(
    predictions: Predictions, labels: Sequence[Collection[int]] | None = None
) -> tuple[Accuracy, Accuracy]:
    """Top-1 and top-5: is a label the likeliest class, or among the five likeliest?

    Args:
        labels: for each place in the data set the labels that count as right, as ReaL has them; an
            image with none is left out. None for the data set's own.

    Raises:
        ValueError: there is no image to score.
    """
    images = first = among_five = 0
    for index, top in predictions.top.items():
        right = {predictions.labels[index]} if labels is None else set(labels[index])
        if right:
            images += 1
            first += top[0] in right
            among_five += not right.isdisjoint(top[:TOP])
    if not images:
        raise ValueError("there is no image to score: none could be read, or none has a label")
    return Accuracy(first, images), Accuracy(among_five, images)


def to_records(
    subject: Subject,
    images: str,
    predictions: Predictions,
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
    network, name, provenance = subject.network, subject.name, predictions.provenance
    memory = network.config.memory if isinstance(network, TResNet) else None
    ran = Conditions(batch, subject.size, dtype, norm=norm_backend(network), memory=memory)
    # the images, how they were brought to size, and whose labels count
    case = f"{images}, {subject.protocol}{', ReaL labels' if real else ''}"

    def record(metric: str, value: Spread, part: str = "") -> Record:
        return Record(SUITE, case, name, "inference", metric, value, ran, provenance, part=part)

    top1, top5 = map(_spread, scores)
    records = [record("top1", top1), record("top5", top5)]
    speeds = predictions.speeds_of(batch)
    if len(speeds) >= MIN_REPEATS and not real:
        records.append(record("throughput", Spread.over(speeds), "with reading"))
    return records


def _spread(accuracy: Accuracy) -> Spread:
    low, high = accuracy.interval(0.5)
    return Spread(accuracy.percent, low, high, accuracy.images)

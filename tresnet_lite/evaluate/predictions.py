"""Predictions kept as they come, so that a killed evaluation goes on where it stopped.

A folder has one file for each process, and a line in it for each batch: the five likeliest classes
of each image. What follows from them (accuracies under any labels) is computed afterwards, and
costs no second run.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm import tqdm

from tresnet_lite.bench.steps import autocast
from tresnet_lite.evaluate.photographs import Photographs
from tresnet_lite.evaluate.subjects import Subject, describe
from tresnet_lite.records import Provenance, collect, repair
from tresnet_lite.records.files import append_lines, exclusive
from tresnet_lite.records.text import for_terminal
from tresnet_lite.train import processes
from tresnet_lite.train.reading import Unreadable, test_loader, watching_readers

TOP = 5
BEGINNING = '{"provenance": {"device": "'  # of each file


class PredictionError(ValueError):
    """Kept predictions that cannot be read, or that another process is writing."""


@dataclass
class Predictions:
    """What was predicted: for each image by its place in the data set.

    Attributes:
        top: the likeliest classes, at most five, the likeliest first.
        labels: by the data set.
        unreadable: why an image gave nothing, the last time that it was tried.
        speeds: device, batch, and images per second with reading, of each full batch but the first
            that one process alone predicted.
        provenance: of the last session that predicted anything.
    """

    top: dict[int, list[int]] = field(default_factory=dict)
    labels: dict[int, int] = field(default_factory=dict)
    unreadable: dict[int, str] = field(default_factory=dict)
    speeds: list[tuple[str, int, float]] = field(default_factory=list)
    provenance: Provenance | None = None

    def __contains__(self, index: int) -> bool:
        return index in self.top

    def add(self, line: Mapping[str, Any]) -> None:
        """Take up one line of a file."""
        if "provenance" in line:
            provenance = Provenance(**line["provenance"])
            if self.provenance is None or provenance.date > self.provenance.date:
                self.provenance = provenance
            return
        self.top.update(zip(line["indices"], line["top"], strict=True))
        self.labels.update(zip(line["indices"], line["labels"], strict=True))
        self.unreadable.update({int(index): text for index, text in line["unreadable"].items()})
        if line["speed"]:
            self.speeds.append(tuple(line["speed"]))

    def speeds_of(self, batch: int) -> list[float]:
        """Those of the last session's device at this batch."""
        last = (self.provenance.device, batch)
        return [speed for device, size, speed in self.speeds if (device, size) == last]


@watching_readers()
@torch.no_grad()
def predict(
    subject: Subject,
    images: Photographs,
    folder: str | Path,
    *,
    batch: int = 64,
    device: str | torch.device = "cpu",
    dtype: str = "float32",
    workers: int = 0,
    unreadable: int = 100,
    tell: Any = None,
) -> Predictions:
    """Predict what `folder` does not hold yet, and give all of it; try unreadable images again.

    Under torchrun the processes share what is left.

    Args:
        folder: below it the run has a folder of its own (`place`).
        batch: images at once, in each process.
        dtype: a half precision means autocast.
        unreadable: images that may be broken or missing before this stops.
        tell: gets a line for each unreadable image.

    Raises:
        TooManyUnreadable: more images cannot be read.
        ReaderLost: a process that reads images was killed.
        PredictionError: kept predictions cannot be read, or another process writes them.
        ValueError: images of other channels than the network's, logits that are not finite.
    """
    if images.channels != subject.channels:
        has, takes = images.channels, subject.channels
        raise ValueError(
            f"{images.name} has {has} channels per image, {subject.name} takes {takes}"
        )
    if batch < 1:
        raise ValueError(f"batch is {batch}: it must be at least 1")
    device, path = torch.device(device), place(subject, images, folder, dtype)
    with _locked(path, {**describe(subject), "images": images.name, "dtype": dtype}):
        before = read_predictions(path)
        processes.wait()  # no process writes before all have read
        broken = Unreadable(unreadable, tell)
        left = [index for index in range(len(images.dataset)) if index not in before]
        if mine := left[processes.rank() :: processes.count()]:
            ways = {"batch": batch, "workers": workers, "pin": device.type == "cuda"}
            loader = test_loader(images.dataset, subject.transform, indices=mine, **ways)
            file = path / f"{processes.rank()}.jsonl"
            _predict(subject, loader, mine, file, batch, device, dtype, broken)
        processes.wait()
        predictions = read_predictions(path)
    broken.names = list(predictions.unreadable.values())
    broken.note(())  # the limit is for all processes together
    return predictions


def _predict(
    subject: Subject,
    loader: DataLoader,
    mine: list[int],
    file: Path,
    batch: int,
    device: torch.device,
    dtype: str,
    broken: Unreadable,
) -> None:
    """Predict the images of these places, which the loader gives, and append a line per batch."""
    network = subject.network.to(device).eval()
    provenance = collect(device)
    append_lines(file, [json.dumps({"provenance": dataclasses.asdict(provenance)})])
    quiet = None if processes.rank() == 0 else True  # None: shown in a terminal, not in a log
    bar = tqdm(total=len(mine), unit="img", desc=for_terminal(subject.name), disable=quiet)
    start = time.monotonic()
    for number, (images, labels, places, unreadable) in enumerate(loader):
        wanted = mine[number * batch : (number + 1) * batch]
        images = images.to(device, non_blocking=True)
        top = _likeliest(network, images, dtype) if len(labels) else []
        now, indices = time.monotonic(), places.tolist()
        lost = [index for index in wanted if index not in set(indices)]
        line = {"indices": indices, "top": top, "labels": labels.tolist()}
        line |= {"unreadable": dict(zip(lost, unreadable, strict=True)), "speed": None}
        # the first waits for its readers
        if number > 0 and len(indices) == batch and processes.count() == 1:
            line["speed"] = [provenance.device, batch, batch / (now - start)]
        append_lines(file, [json.dumps(line)])
        start = now
        broken.note(unreadable)
        bar.update(len(wanted))
    bar.close()


def _likeliest(network: torch.nn.Module, images: Tensor, dtype: str) -> list[list[int]]:
    with autocast(images, dtype):
        logits = network(images)
    if not logits.isfinite().all():
        why = f"the network gave logits that are no finite numbers in {dtype}"
        raise ValueError(f"{why}: try float32")
    return logits.float().topk(min(TOP, logits.shape[1]), dim=1).indices.tolist()


def place(subject: Subject, images: Photographs, folder: str | Path, dtype: str) -> Path:
    """The folder of one evaluation, named by all that its predictions depend on."""
    about = {**describe(subject), "images": images.fingerprint, "dtype": dtype}
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:8]
    name = subject.name.partition(" ")[0]
    words = f"{name}-{images.name}-{subject.protocol}-{subject.size}"
    words = re.sub(r"[^\w.]+", "-", words)
    return Path(folder) / f"{words}-{digest}"


def read_predictions(path: Path) -> Predictions:
    """All that a folder holds. Raises PredictionError for a line that is not one."""
    predictions = Predictions()
    for file in sorted(path.glob("*.jsonl")):
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
            try:
                predictions.add(json.loads(line))
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                why = f"{file}:{number} holds no predictions ({error})"
                again = "remove that file to predict its images again"
                raise PredictionError(f"{why}; {again}") from error
    broken = predictions.unreadable.items()
    predictions.unreadable = {index: text for index, text in broken if index not in predictions}
    return predictions


@contextmanager
def _locked(path: Path, about: Mapping[str, Any]) -> Iterator[None]:
    """Hold the folder, by the first process, against another evaluation; repair what it holds."""
    if processes.rank():
        processes.wait()
        yield
        return
    busy = PredictionError(f"another process evaluates in {path}: wait for it")
    with exclusive(path / ".lock", busy):
        for file in path.glob("*.jsonl"):
            repair(file, (BEGINNING,))  # a half-written last line
        (path / "about.json").write_text(json.dumps(about, indent=2), encoding="utf-8")
        processes.wait()
        yield

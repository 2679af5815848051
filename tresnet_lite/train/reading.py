"""Images read, augmented and batched so that an interruption changes nothing.

What is random about an image depends on the seed, the epoch and the image alone: not on the worker
that reads it, nor on the images before it. Images that cannot be read are named and counted; a few
of them do not stop a run.
"""

from __future__ import annotations

import hashlib
import re
import signal
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import ConcatDataset, DataLoader, Dataset, Subset

from tresnet_lite.records.text import printable
from tresnet_lite.train.pictures import UNREADABLE

# PyTorch's words for a reading process that is gone, or cannot hand over its images.
LOST = re.compile(r"DataLoader worker \(pid|shared memory|/torch_|ancdata|Pin memory thread exited")
IN_A_ROW = 20  # unreadable images, one after the other in the data set: then it is not the images


class TooManyUnreadable(RuntimeError):
    """More images cannot be read than are tolerated; the message names some."""


class ReaderLost(RuntimeError):
    """A process that reads images was killed, or had no memory; the message says what helps."""


@contextmanager
def watching_readers() -> Iterator[None]:
    """Say in a line what the processes that read images die of, and what they raise.

    PyTorch notices a dead one at any moment, so this stands around all that uses a loader.

    Raises:
        ReaderLost: one was killed, or could not be started or share its images.
        TooManyUnreadable: as one raised it, without its traceback.
    """
    try:
        yield
    except TooManyUnreadable as error:
        reason = str(error).strip().rpartition(f"{TooManyUnreadable.__name__}: ")[2]
        raise TooManyUnreadable(reason) from error
    except (RuntimeError, OSError, EOFError) as error:
        if not _is_of_a_reader(error):
            raise
        why = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        _let_go(error)
        fewer = "take fewer (--workers 2), or none (--workers 0)"
        more = "in a container, give more of it (docker run --shm-size 8g)"
        what = "a process that reads images was killed, or had no memory in RAM or /dev/shm"
        raise ReaderLost(f"{what}: {fewer}; {more}. PyTorch says: {why}") from error


class Item(NamedTuple):
    """An image (C, H, W), or None where it cannot be read; and what was unreadable on the way."""

    image: Tensor | None
    label: int
    index: int
    unreadable: tuple[str, ...]


class Batch(NamedTuple):
    """Images (B, C, H, W), labels (B,) and places in the data set (B,), without unreadable ones."""

    images: Tensor
    labels: Tensor
    indices: Tensor
    unreadable: tuple[str, ...]


class Images(Dataset):
    """The images of a data set of (PIL image, label), transformed; to train on, by (epoch, index).

    Args:
        transform: PIL image → tensor.
        seed: with the epoch and the index it sets what is random in the transform.
        substitute: the next readable image stands in for one that is not: batches stay full.
    """

    def __init__(
        self, dataset: Dataset, transform: Callable, *, seed: int = 0, substitute: bool = False
    ) -> None:
        self.dataset, self.transform = dataset, transform
        self.seed, self.substitute = seed, substitute

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, key: int | tuple[int, int]) -> Item:
        epoch, index = key if isinstance(key, tuple) else (0, key)
        faults: list[str] = []
        for offset in range(min(IN_A_ROW, len(self)) if self.substitute else 1):
            place = (index + offset) % len(self)
            try:
                image, label = self.dataset[place]
            except UNREADABLE as error:
                reason = error.__cause__ or error  # of a PictureError, the decoder's own
                fault = f"{name_of(self.dataset, place)}: {type(reason).__name__}: {reason}"
                faults.append(printable(fault))
                continue
            with seeded(mixed(self.seed, epoch, index)):
                return Item(self.transform(image), int(label), place, tuple(faults))
        if self.substitute:
            many = f"{len(faults)} images in a row"
            raise TooManyUnreadable(f"{many} cannot be read, such as {faults[0]}")
        return Item(None, -1, index, tuple(faults))


def mixed(*parts: int) -> int:
    """A seed of 64 bits made of several numbers; near ones give unrelated seeds."""
    return int.from_bytes(hashlib.blake2b(repr(parts).encode(), digest_size=8).digest(), "big")


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """While this lasts, what is random on the CPU follows from the seed; nothing after it does.

    `torch.manual_seed` does more: it seeds GPUs too, and where there is none it notes each call for
    the day there is.
    """
    before = torch.get_rng_state()
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        torch.set_rng_state(before)


def name_of(dataset: Dataset, index: int) -> str:
    """The path of an image where the data set knows it, else its number."""
    if isinstance(dataset, Subset):
        return name_of(dataset.dataset, dataset.indices[index])
    if isinstance(dataset, ConcatDataset):
        for part in dataset.datasets:
            if index < len(part):
                return name_of(part, index)
            index -= len(part)
    # torchvision's folders, cars and flowers
    for attribute in ("samples", "_samples", "_image_files"):
        if hasattr(dataset, attribute):
            entry = getattr(dataset, attribute)[index]
            return str(entry[0] if isinstance(entry, tuple) else entry)
    return f"image {index}"


def collate(items: Sequence[Item]) -> Batch:
    """Items as a batch, without those that cannot be read; of none, images is an empty tensor."""
    read = [item for item in items if item.image is not None]
    images = torch.stack([item.image for item in read]) if read else torch.empty(0)
    labels = torch.tensor([item.label for item in read], dtype=torch.long)
    indices = torch.tensor([item.index for item in read], dtype=torch.long)
    return Batch(images, labels, indices, tuple(text for item in items for text in item.unreadable))


def _is_of_a_reader(error: Exception) -> bool:
    """Does PyTorch say so, or was a message from another process cut off while it was read?"""
    if isinstance(error, RuntimeError):
        return LOST.search(str(error)) is not None
    frames = traceback.walk_tb(error.__traceback__)
    names = (frame.f_globals.get("__name__", "") for frame, _ in frames)
    return any(name.partition(".")[0] == "multiprocessing" for name in names)


def _let_go(error: Exception) -> None:
    """End the other reading processes, without PyTorch's word on the dead one at a later moment."""
    before = None
    if threading.current_thread() is threading.main_thread():
        before = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    traceback.clear_frames(error.__traceback__)  # which hold the loaders
    if before is not None:
        signal.signal(signal.SIGCHLD, before)


@dataclass
class Unreadable:
    """The images that could not be read so far, each named once.

    Args:
        limit: how many are tolerated.
        tell: gets a line for each.
    """

    limit: int = 100
    tell: Callable[[str], Any] | None = None
    names: list[str] = field(default_factory=list)

    def note(self, faults: Iterable[str]) -> None:
        """Count what a batch reports. Raises TooManyUnreadable beyond the limit."""
        for text in faults:
            if text not in self.names:
                self.names.append(text)
                if self.tell:
                    self.tell(f"skipped, cannot be read: {text}")
        if len(self.names) > self.limit:
            many = f"{len(self.names)} images cannot be read, more than the {self.limit} tolerated"
            advice = "Fix or remove them, or raise the limit (--unreadable)."
            raise TooManyUnreadable(f"{many}: {'; '.join(self.names[:3])} … {advice}")


@dataclass(frozen=True)
class Steps:
    """For each step from `start` to `stop`, this process's (epoch, index), a batch for each part.

    Every epoch has an order of its own, set by the seed, and leaves out what does not fill a batch.
    The joined batch of a step is the same for any number of processes and parts.
    """

    images: int
    batch: int
    seed: int
    start: int
    stop: int
    parts: int = 1
    rank: int = 0
    processes: int = 1

    @property
    def per_epoch(self) -> int:
        return self.images // self.batch

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        shuffled, order = None, torch.empty(0)
        for step in range(self.start, self.stop):
            epoch, place = divmod(step, self.per_epoch)
            if epoch != shuffled:
                generator = torch.Generator().manual_seed(mixed(self.seed, epoch))
                shuffled, order = epoch, torch.randperm(self.images, generator=generator)
            joined = order[place * self.batch : (place + 1) * self.batch]
            for part in joined.view(self.parts, self.processes, -1)[:, self.rank].tolist():
                yield [(epoch, index) for index in part]

    def __len__(self) -> int:
        return (self.stop - self.start) * self.parts


def image_loader(
    images: Images, batches: Iterable[list], *, workers: int = 0, pin: bool = False
) -> DataLoader:
    """Batches of images, such as `Steps`, read by `workers` processes ahead (0: by this one)."""
    readers = {"num_workers": workers, "worker_init_fn": _leave_interruptions, "pin_memory": pin}
    return DataLoader(images, batch_sampler=batches, collate_fn=collate, **readers)


def _leave_interruptions(_: int) -> None:
    """Control-C reaches all processes of a terminal; the one that trains stops those that read."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def test_loader(
    dataset: Dataset,
    transform: Callable,
    *,
    batch: int = 64,
    workers: int = 0,
    indices: Sequence[int] | None = None,
    pin: bool = False,
) -> DataLoader:
    """Batches of a data set of (PIL image, label), or of some `indices`, each once, in order."""
    places = range(len(dataset)) if indices is None else indices
    batches = [list(places[i : i + batch]) for i in range(0, len(places), batch)]
    return image_loader(Images(dataset, transform), batches, workers=workers, pin=pin)


test_loader.__test__ = False  # pytest would take it for a test

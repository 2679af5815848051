"""Data sets by name or folder, as pairs of a photograph and its label."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import ConcatDataset, Dataset, Subset
from torchvision import datasets
from torchvision.transforms.functional import to_pil_image

from tresnet_lite.checkpoints import user_cache
from tresnet_lite.train.digits import digits
from tresnet_lite.train.folders import ClassFolders, in_short, parts_of
from tresnet_lite.train.overrides import nearest
from tresnet_lite.train.pictures import open_picture

DATA_VARIABLE = "TRESNET_LITE_DATA"  # environment: where downloaded data sets lie
HELD_OUT = 4  # one image of four, in a folder that has no test images of its own


@dataclass(frozen=True)
class Data:
    """Images to train on and images to test with, each a data set of (PIL image, label).

    Attributes:
        classes: their names, label by label.
        channels: 3 for colour, 1 for grey.
        fingerprint: differs where the images do, as far as their names and sizes tell.
        split: the test images are a part of the same folder, chosen by their names.
    """

    name: str
    train: Dataset
    test: Dataset
    classes: tuple[str, ...]
    channels: int = 3
    fingerprint: str = ""
    split: bool = False

    def identity(self) -> dict[str, Any]:
        """What a resumed run compares, and an evaluation: the classes' names, in their order."""
        sizes = {"train": len(self.train), "test": len(self.test), "classes": len(self.classes)}
        names = {"class_names": list(self.classes)}
        return {"name": self.name, **sizes, **names, "fingerprint": self.fingerprint}

    def trained(self) -> Tensor | None:
        """The `content_key` of each training image, of a folder that holds the test images too."""
        if not self.split:
            return None
        samples = self.train.dataset.samples
        keys = (content_key(samples[place][0]) for place in self.train.indices)
        return torch.tensor([key for key in keys if key])


def load_data(source: str | Path, *, root: str | Path | None = None, download: bool = True) -> Data:
    """A data set by name, or from a folder of images.

    Args:
        source: one of `NAMED`; or a folder with train/ and val/ (or test/), by their usual names,
            each with a sub-folder a class, as ImageNet has it; or a folder with the classes'
            sub-folders alone, of which a quarter is held out.
        root: where named data sets lie; None for $TRESNET_LITE_DATA, or the user's cache.
        download: fetch what is missing there.

    Raises:
        ValueError: neither a name nor a folder, a folder without such images, or one whose
            sub-folders look like data sets.
        ConnectionError: a data set that is missing and cannot be fetched from here.
    """
    if str(source) in NAMED:
        return NAMED[str(source)](_fetcher(str(source), root, download))
    folder = Path(source).expanduser()
    if not folder.is_dir():
        known = nearest(str(source), NAMED)
        raise ValueError(f"{str(source)!r} is neither a folder nor a data set's name; {known}")
    return _from_folder(folder)


class Scans(Dataset):
    """Tensors (N, C, H, W) in [0, 1] with labels (N,), as PIL images."""

    def __init__(self, images, labels) -> None:
        self.images, self.labels = (images * 255).round().byte(), labels.tolist()

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple:
        return to_pil_image(self.images[index]), self.labels[index]


def _digits(_: Fetch) -> Data:
    scans = digits()
    train = Scans(scans.images, scans.labels)
    test = Scans(scans.held_out_images, scans.held_out_labels)
    return Data("digits", train, test, tuple("0123456789"), channels=1)


# a class of torchvision and its options but root and download → the data set
Fetch = Callable[..., Dataset]


def _fetcher(name: str, place: str | Path | None, download: bool) -> Fetch:
    """What builds a data set of torchvision from `load_data`'s root, or fetches it there."""

    def fetch(kind: type[Dataset], **options: Any) -> Dataset:
        named = place or os.environ.get(DATA_VARIABLE)
        root = Path(named).expanduser() if named else user_cache() / "data"
        try:
            return kind(root, download=False, **options)
        except (RuntimeError, FileNotFoundError) as missing:
            if not download:
                why = f"{name} is not in {root}, and downloading is off"
                raise ConnectionError(why) from missing
        try:
            return kind(root, download=True, **options)
        # torchvision raises each of these for a lost network
        except (OSError, RuntimeError, ValueError) as error:
            why = f"cannot be fetched from here ({type(error).__name__}: {_first(error)})"
            advice = (
                f"Copy it there in torchvision's layout, set ${DATA_VARIABLE}, or use --data digits"
            )
            raise ConnectionError(f"{name} is not in {root} and {why}. {advice}.") from error

    return fetch


def _first(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), "no reason given")[:200]


def _cifar(kind: str) -> Callable[[Fetch], Data]:
    def load(fetch: Fetch) -> Data:
        train, test = (fetch(getattr(datasets, kind), train=flag) for flag in (True, False))
        return Data(kind.lower(), train, test, tuple(train.classes))

    return load


def _imagenette(fetch: Fetch) -> Data:
    kind, ways = datasets.Imagenette, {"size": "320px", "loader": open_picture}
    train, test = (fetch(kind, split=split, **ways) for split in ("train", "val"))
    return Data("imagenette", train, test, tuple(names[0] for names in train.classes))


def _flowers102(fetch: Fetch) -> Data:
    """Trained on both published parts of ten images per class, as results in the literature are."""
    kind, splits = datasets.Flowers102, ("train", "val", "test")
    parts = [fetch(kind, split=split, loader=open_picture) for split in splits]
    classes = getattr(parts[0], "classes", None) or [f"flower {number}" for number in range(1, 103)]
    return Data("flowers102", ConcatDataset(parts[:2]), parts[2], tuple(classes))


def _stanford_cars(fetch: Fetch) -> Data:
    kind, splits = datasets.StanfordCars, ("train", "test")
    train, test = (fetch(kind, split=split, loader=open_picture) for split in splits)
    return Data("stanford_cars", train, test, tuple(train.classes))


NAMED: dict[str, Callable[[Fetch], Data]] = {
    "digits": _digits,
    "cifar10": _cifar("CIFAR10"),
    "cifar100": _cifar("CIFAR100"),
    "imagenette": _imagenette,
    "flowers102": _flowers102,
    "stanford_cars": _stanford_cars,
}


def image_folder(folder: str | Path) -> datasets.ImageFolder:
    """The images of a folder with a sub-folder for each class, as `ClassFolders` reads them."""
    return ClassFolders(folder)


def _from_folder(folder: Path) -> Data:
    parts = parts_of(folder)
    if "train" in parts:
        tests = parts.get("val", parts.get("test"))
        if tests is None:
            needs = "neither val/ nor test/ with a sub-folder for each class to test with"
            raise ValueError(f"{folder} has {parts['train'].name}/ but {needs}")
        train, test = image_folder(parts["train"]), image_folder(tests)
        _refuse_other_classes(train, test)
        names = _fingerprint(train, test)
        return Data(folder.name, train, test, tuple(train.classes), fingerprint=names)
    images = image_folder(folder)
    places: dict[bool, list[int]] = {False: [], True: []}
    for place, (path, _) in enumerate(images.samples):
        held_out = names_digest(relative_name(images, path))[0] % HELD_OUT == 0
        places[held_out].append(place)
    train, test = Subset(images, places[False]), Subset(images, places[True])
    if not len(train) or not len(test):
        few = f"{folder} has {len(images)} images, too few"
        raise ValueError(f"{few} to hold out one of {HELD_OUT}")
    names = {"fingerprint": _fingerprint(images), "split": True}
    return Data(folder.name, train, test, tuple(images.classes), **names)


def _refuse_other_classes(train: datasets.ImageFolder, test: datasets.ImageFolder) -> None:
    if train.classes != test.classes:
        odd = in_short(sorted(set(train.classes) ^ set(test.classes)))
        same = f"{train.root} and {test.root} must have the same classes"
        raise ValueError(f"{same}: {odd} only in one")


def relative_name(images: datasets.ImageFolder, path: str) -> str:
    """An image's path below its folder, the same on every system."""
    return Path(path).relative_to(images.root).as_posix()


def names_digest(text: str) -> bytes:
    """SHA-256 of a text of file names."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()


def content_key(path: str | Path) -> int:
    """A number of 64 bits for the content of an image's file; 0 for what cannot be read.

    It stays when a file is renamed, moved to another class or copied.
    """
    try:
        # reading a pipe would never end
        content = Path(path).read_bytes() if os.path.isfile(path) else None
    except OSError:
        content = None
    if content is None:
        return 0
    digest = hashlib.blake2b(content, digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def _fingerprint(*folders: datasets.ImageFolder) -> str:
    """Of the images' names and sizes, so that the same images in another place are the same."""
    parts = []
    for images in folders:
        paths = [path for path, _ in images.samples]
        sizes = [os.path.getsize(path) if os.path.exists(path) else -1 for path in paths]
        names = [relative_name(images, path) for path in paths]
        parts.append("\n".join(f"{name} {size}" for name, size in zip(names, sizes, strict=True)))
    return names_digest("\n\n".join(parts)).hex()[:16]

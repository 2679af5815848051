"""The photographs to evaluate on, with the labels that a model's outputs have.

ImageNet's validation set is a folder with 50,000 images in 1000 sub-folders named by synset
(n01440764 …), as https://image-net.org gives it after its images have been moved by their labels.
ImageNet-V2's sub-folders are the numbers 0 to 999. The folders of a run's classes have their names.
"""

from __future__ import annotations

import json
import pkgutil
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch.utils.data import Dataset, Subset

from tresnet_lite.evaluate.accuracy import IMAGENET
from tresnet_lite.records.text import clean, printable
from tresnet_lite.train.data import NAMED, content_key, image_folder, load_data, names_digest
from tresnet_lite.train.folders import in_short, natural_order, parts_of, sub_folders
from tresnet_lite.train.reading import name_of

IMAGES, CLASSES = 50_000, 1000
REAL = "https://github.com/google-research/reassessed-imagenet"


@dataclass(frozen=True)
class Photographs:
    """A data set of (PIL image, label), its name, and a digest of what its images are.

    Attributes:
        fingerprint: differs where names, labels, sizes or times of the images do.
        trained_on: how many images of the folder are left out, as the run was trained on them.
    """

    dataset: Dataset
    name: str
    channels: int
    fingerprint: str
    trained_on: int = 0


def photographs(
    source: str | Path, num_classes: int, trained_on: Mapping[str, Any] | None = None
) -> Photographs:
    """The images behind a data set's name, or in a folder, with labels from 0 to `num_classes` - 1.

    Args:
        source: a name (`train.data.NAMED`: the test images), or a folder with a sub-folder for each
            class, or one with such a folder in val/ or test/, by their usual names. Sub-folders may
            be a part of ImageNet's synsets, or of the classes of the model's run.
        num_classes: of the model.
        trained_on: what the model's run says of its data: "class_names" in the labels' order, and
            "trained", the `content_key` of images that are left out.

    Raises:
        ValueError: no such folder, no images in it, or classes that are not the model's.
        ConnectionError: a named data set that is not here and cannot be fetched.
    """
    run = trained_on or {}
    names = run.get("class_names")
    if str(source) in NAMED:
        return _from_name(str(source), num_classes, names)
    folder = Path(source).expanduser()
    if not folder.is_dir():
        known = ", ".join(NAMED)
        raise ValueError(f"{str(source)!r} is neither a folder nor a data set's name ({known})")
    parts = parts_of(folder)
    inner = parts.get("val", parts.get("test", folder))
    return _from_folder(inner, num_classes, names, run.get("trained", frozenset()))


def _from_name(source: str, num_classes: int, names: Sequence[str] | None) -> Photographs:
    data = load_data(source)
    name = clean(data.name, 100)
    if len(data.classes) != num_classes or (names and list(names) != list(data.classes)):
        raise _other_classes(name, data.classes, num_classes, names)
    return Photographs(data.test, name, data.channels, _fingerprint(data.test) or name)


def _from_folder(
    folder: Path, num_classes: int, names: Sequence[str] | None, trained: frozenset[int]
) -> Photographs:
    if not sub_folders(folder):
        needs = "there must be one for each class, for ImageNet named by synset (n01440764 …)"
        advice = "The validation images come without; move each into its class's folder first."
        raise ValueError(f"{folder} has no sub-folders: {needs}. {advice}")
    images = image_folder(folder.resolve())
    labels = class_labels(images.classes, num_classes, names)
    if labels is None:
        raise _other_classes(str(folder), images.classes, num_classes, names)
    images.target_transform = labels.__getitem__  # which reading processes can be sent
    new = [
        place
        for place, (path, _) in enumerate(images.samples)
        if not trained or content_key(path) not in trained
    ]
    if not new:
        raise ValueError(f"the run was trained on all {len(images):,} images of {folder}")
    dataset = images if len(new) == len(images) else Subset(images, new)
    sizes = (len(dataset), len(images.classes))
    whole = sizes == (IMAGES, CLASSES) and _are_synsets(images.classes)
    name = IMAGENET if whole else clean(folder.resolve().name, 100)
    return Photographs(dataset, name, 3, _fingerprint(dataset, labels), len(images) - len(new))


def class_labels(
    classes: Sequence[str], num_classes: int, names: Sequence[str] | None = None
) -> list[int] | None:
    """The label of each class by its name; None where the names are not those of the model's.

    Args:
        classes: names of folders.
        num_classes: of the model.
        names: of the model's classes, in the order of the labels. None where nobody knows: then
            1000 are ImageNet's, whose synsets may be there in part; others are in natural order.

    Numbers, with the same word before each or none, are the labels of ImageNet's classes, counted
    from 0 or from 1, if all are there.
    """
    imagenet = num_classes == CLASSES and (names is None or _are_synsets(names))
    if imagenet and _are_numbers(classes, CLASSES):
        order = sorted(classes, key=natural_order)
        return [order.index(name) for name in classes]
    if names is None and imagenet:
        from timm.data import ImageNetInfo

        names = ImageNetInfo("imagenet-1k").label_names()
    if names is None and len(classes) == num_classes:
        names = sorted(classes, key=natural_order)
    places = {name: label for label, name in enumerate(names or ())}
    return [places[name] for name in classes] if places.keys() >= set(classes) else None


def _are_synsets(classes: Sequence[str]) -> bool:
    return all(re.fullmatch(r"n\d{8}", name) for name in classes)


def _are_numbers(classes: Sequence[str], count: int) -> bool:
    """Are the names the numbers from 0, or from 1, with the same word before each or none?"""
    found = [re.fullmatch(r"(\D*)(\d+)", name) for name in classes]
    if not all(found) or len({match[1] for match in found}) != 1:
        return False
    numbers = sorted(int(match[2]) for match in found)
    return numbers in (list(range(count)), list(range(1, count + 1)))


def _other_classes(
    name: str, classes: Sequence[str], num_classes: int, names: Sequence[str] | None
) -> ValueError:
    """That these are not the model's classes, with both lists in short."""
    has = f"{printable(name)} has {len(classes):,} classes ({in_short(classes)})"
    if names is None and num_classes == CLASSES:
        theirs = "ImageNet's synsets (n01440764, n01443537, n01484850 …), or the numbers 0 to 999"
    elif names is None:
        theirs = "of which nothing but their number is known"
    else:
        unknown = [name for name in classes if name not in names]
        theirs = f"{in_short(names)}"
        theirs += f"; unknown are {in_short(unknown)}" if unknown else ", in another order"
    advice = "Give the data that it was trained for, each folder named by its class"
    return ValueError(f"{has}, the model {num_classes:,}: {theirs}. {advice}.")


def _fingerprint(dataset: Dataset, labels: Sequence[int] = ()) -> str:
    """A digest of names, sizes and times of the images' files, and of labels; "" for no files."""
    paths = [Path(name_of(dataset, index)) for index in range(len(dataset))]
    states = [path.stat() if path.exists() else None for path in paths]
    if not any(states):
        return ""
    # files of one size that were written in the same moment differ by their inode
    times = [state and (state.st_size, state.st_mtime_ns, state.st_ino) for state in states]
    lines = [f"{path} {time}" for path, time in zip(paths, times, strict=True)]
    return names_digest("\n".join([*lines, repr(labels)])).hex()[:16]


def real_labels(dataset: Dataset, source: str | Path = "real") -> list[list[int]]:
    """ReaL's labels (Beyer et al., 2020) of each image: none, or several, where it shows so many.

    Args:
        dataset: ImageNet's validation images, by their own names (ILSVRC2012_val_00000001.JPEG …).
        source: real.json of the authors' repository, or "real" for the copy that comes with timm.

    Raises:
        ValueError: no such file, another content, or images that are not ImageNet's validation set.
    """
    labels = _read_real(source)
    of_images = []
    for index in range(len(dataset)):
        name = Path(name_of(dataset, index)).name
        number = re.fullmatch(r"ILSVRC2012_val_(\d{8})\.\w+", name)
        if not number or not 1 <= int(number[1]) <= len(labels):
            wanted = "ImageNet's validation images, named ILSVRC2012_val_00000001.JPEG …"
            raise ValueError(f"{printable(name)}: ReaL's labels are for {wanted}")
        of_images.append(labels[int(number[1]) - 1])
    return of_images


def _read_real(source: str | Path) -> list[list[int]]:
    if str(source) == "real":
        text = pkgutil.get_data("timm.data", "_info/imagenet_real_labels.json").decode()
    else:
        try:
            text = Path(source).expanduser().read_text(encoding="utf-8")
        except OSError as error:
            advice = f"give the file real.json of {REAL}, or `--labels real` for the copy in timm"
            raise ValueError(f"no labels at {source}: {advice}") from error
    try:
        labels = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{source} is not JSON: {error}") from error
    lists = isinstance(labels, list) and all(isinstance(of_one, list) for of_one in labels)
    if not lists or not all(isinstance(label, int) for of_one in labels for label in of_one):
        needs = "a list of labels for each image"
        raise ValueError(f"{source} must hold {needs}, as real.json of {REAL} does")
    return labels

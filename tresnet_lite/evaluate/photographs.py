"""The photographs to evaluate on, with the labels that a model's outputs have.

ImageNet's validation set is a folder with 50,000 images in 1000 sub-folders named by synset
(n01440764 …), as https://image-net.org gives it after its images have been moved by their labels.
ImageNet-V2's sub-folders are the numbers 0 to 999. Sorted as names these two orders differ, so each
is read in its own way.
"""

from __future__ import annotations

import json
import pkgutil
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch.utils.data import Dataset

from tresnet_lite.evaluate.accuracy import IMAGENET
from tresnet_lite.records.text import clean, printable
from tresnet_lite.train.data import NAMED, image_folder, load_data, names_digest, relative_name
from tresnet_lite.train.reading import name_of

IMAGES, CLASSES = 50_000, 1000
SPLITS = ("val", "validation", "test")  # sub-folders with the images to evaluate on, beside train/
REAL = "https://github.com/google-research/reassessed-imagenet"


@dataclass(frozen=True)
class Photographs:
    """A data set of (PIL image, label), its name, and a digest of the images' names and labels."""

    dataset: Dataset
    name: str
    channels: int
    fingerprint: str


def photographs(
    source: str | Path, num_classes: int, trained_on: Mapping[str, object] | None = None
) -> Photographs:
    """The images behind a data set's name, or in a folder, with labels from 0 to `num_classes` - 1.

    Args:
        source: a name (`train.data.NAMED`: the test images), or a folder with a sub-folder for each
            class, or one with such a folder in val/ or test/. Sub-folders may be a part of
            ImageNet's synsets.
        num_classes: of the model.
        trained_on: what the model's run says of its data; of the same images those held out count.

    Raises:
        ValueError: no such folder, no images in it, or classes that do not fit the model's.
        ConnectionError: a named data set that is not here and cannot be fetched.
    """
    folder = Path(source).expanduser()
    inner = next((folder / part for part in SPLITS if (folder / part).is_dir()), folder)
    if str(source) in NAMED or (trained_on and inner == folder and folder.is_dir()):
        data = load_data(source)
        if str(source) in NAMED or data.fingerprint == trained_on.get("fingerprint"):
            name = clean(data.name, 100)
            _refuse_other_number(name, len(data.classes), num_classes)
            return Photographs(data.test, name, data.channels, data.fingerprint or name)
    if not folder.is_dir():
        names = ", ".join(NAMED)
        raise ValueError(f"{str(source)!r} is neither a folder nor a data set's name ({names})")
    return _from_folder(inner, num_classes)


def _from_folder(folder: Path, num_classes: int) -> Photographs:
    if not any(path.is_dir() for path in folder.iterdir()):
        needs = "there must be one for each class, for ImageNet named by synset (n01440764 …)"
        advice = "The validation images come without; move each into its class's folder first."
        raise ValueError(f"{folder} has no sub-folders: {needs}. {advice}")
    images = image_folder(folder)
    labels = label_order(images.classes, num_classes)
    if labels is None:
        _refuse_other_number(str(folder), len(images.classes), num_classes)
        labels = range(num_classes)
    images.target_transform = list(labels).__getitem__  # which reading processes can be sent
    whole = (len(images), len(images.classes)) == (IMAGES, CLASSES) and _are_synsets(images.classes)
    name = IMAGENET if whole else clean(folder.resolve().name, 100)
    return Photographs(images, name, 3, _fingerprint(images, labels))


def label_order(classes: Sequence[str], num_classes: int) -> list[int] | None:
    """The label of each class among ImageNet's 1000; None where the names are not ImageNet's.

    Numbers from 0 to 999 are labels themselves. Synsets have the place that they have among the
    thousand, also where only some of them are there.
    """
    if num_classes != CLASSES:
        return None
    if sorted(classes) == sorted(map(str, range(CLASSES))):
        return [int(name) for name in classes]
    if not _are_synsets(classes):
        return None
    from timm.data import ImageNetInfo

    synsets = ImageNetInfo("imagenet-1k").label_names()
    places = {synset: place for place, synset in enumerate(synsets)}
    if unknown := [name for name in classes if name not in places]:
        many = f"{len(unknown)} of {len(classes)} synsets"
        raise ValueError(f"{many} are not among ImageNet's 1000: {unknown[:3]}")
    return [places[name] for name in classes]


def _are_synsets(classes: Sequence[str]) -> bool:
    return all(re.fullmatch(r"n\d{8}", name) for name in classes)


def _refuse_other_number(name: str, classes: int, num_classes: int) -> None:
    if classes != num_classes:
        advice = "give the data that it was trained for"
        part = "A part of ImageNet's classes must be named by their synsets (n01440764 …)."
        counts = f"{name} has {classes:,} classes, the model {num_classes:,}"
        raise ValueError(f"{counts}: {advice}. {part}")


def _fingerprint(images: Dataset, labels: Sequence[int]) -> str:
    lines = [f"{relative_name(images, path)} {labels[place]}" for path, place in images.samples]
    return names_digest("\n".join(lines)).hex()[:16]


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

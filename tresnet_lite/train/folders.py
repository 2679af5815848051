"""Folders of images as people keep them: parts by their usual names, classes, and what is neither.

A data set is a folder of classes, or one with a part to train on and a part to test with. What
editors and systems leave behind is neither a class nor an image.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, NoReturn

from torchvision import datasets
from torchvision.datasets.folder import IMG_EXTENSIONS

from tresnet_lite.records.text import printable
from tresnet_lite.train.pictures import open_picture

# The usual names of a data set's parts, in any case, with or without a number or a word that says
# no more: "Train", "training_set", "val2017", "Test Images".
PARTS = {
    "train": ("train", "training", "trn"),
    "val": ("val", "valid", "validation", "dev", "eval", "evaluation"),
    "test": ("test", "testing", "tst", "holdout"),
}
FILLERS = ("set", "data", "dataset", "split", "part", "folder", "image", "images", "img", "imgs")
# Besides names that begin with a dot.
LEFTOVERS = {"__macosx", "__pycache__", "@eadir", "#recycle", "#snapshot", "$recycle.bin"}
LEFTOVERS |= {"lost+found", "system volume information", "thumbs.db", "desktop.ini"}


class ClassFolders(datasets.ImageFolder):
    """The images of a folder with a sub-folder for each class; the names order as `natural_order`.

    Raises:
        ValueError: no sub-folders, one without an image, or sub-folders that look like the parts of
            a data set, or like data sets.
        OSError: a folder that cannot be read.
    """

    def __init__(self, root: str | Path) -> None:
        super().__init__(str(root), loader=open_picture)

    def find_classes(self, directory: str | Path) -> tuple[list[str], dict[str, int]]:
        folders = sub_folders(Path(directory))
        _refuse_parts(Path(directory), folders)
        classes = [folder.name for folder in folders]
        return classes, {name: label for label, name in enumerate(classes)}

    @staticmethod
    def make_dataset(
        directory: str | Path, class_to_idx: dict[str, int], *_: Any, **__: Any
    ) -> list[tuple[str, int]]:
        homes = {(Path(directory) / name).resolve() for name in class_to_idx}
        samples, empty = [], []
        for name, label in class_to_idx.items():
            images = images_below(Path(directory) / name, homes)
            samples += [(path, label) for path in images]
            if not images:
                empty.append(name)
        if empty:
            kinds = ", ".join(IMG_EXTENSIONS)
            has_none = f"{in_short(empty)} of {printable(str(directory))} has no image ({kinds})"
            raise ValueError(f"{has_none}: each sub-folder must have images of its class")
        return samples


def natural_order(name: str) -> tuple[list[str | int], str]:
    """What names sort by so that numbers order as numbers: "2" before "10", "a2" before "a10"."""
    parts = re.split(r"(^-?\d+|\d+)", name)
    return [int(part) if place % 2 else part for place, part in enumerate(parts)], name


def in_short(names: Collection[str]) -> str:
    """A few of the names, and how many there are."""
    few = printable(", ".join(list(names)[:3]))
    return f"{few} … ({len(names):,} in all)" if len(names) > 3 else few


def is_leftover(name: str) -> bool:
    """Is it what editors and systems leave behind, such as ".ipynb_checkpoints", "._cat.jpg"?"""
    return name.startswith((".", "~$")) or name.endswith("~") or name.lower() in LEFTOVERS


def part_of(name: str) -> str | None:
    """ "train", "val" or "test", if a folder's name is a usual one for such a part; else None."""
    words = [word for word in re.findall("[^\\W\\d_]+", name.lower()) if word not in FILLERS]
    if len(words) != 1:
        return None
    word = words[0].removesuffix("set")
    return next((part for part, names in PARTS.items() if word in names), None)


def parts_of(folder: Path) -> dict[str, Path]:
    """The sub-folders with a usual name of a part, if they have folders of classes: "val" → path.

    Raises:
        ValueError: two for the same part, and none has the plain name.
    """
    parts: dict[str, Path] = {}
    for path in sub_folders(folder):
        part = part_of(path.name)
        # a class may be called "train", and test images without labels have no folders
        if part is None or not sub_folders(path) or _has_images(path):
            continue
        if part in parts and part not in (path.name, parts[part].name):
            both = printable(f"{parts[part].name} and {path.name}")
            raise ValueError(f"{folder} has {both}: rename the one to {part}")
        if part not in parts or path.name == part:
            parts[part] = path
    return parts


def sub_folders(folder: Path) -> list[Path]:
    """A folder's own folders, without what is left behind, in natural order."""
    with os.scandir(folder) as entries:  # which knows folders without a look at each file
        names = [entry.name for entry in entries if not is_leftover(entry.name) and entry.is_dir()]
    return [folder / name for name in sorted(names, key=natural_order)]


def images_below(folder: Path, homes: Collection[Path] = ()) -> list[str]:
    """The paths of a class's images, those of sub-folders too, sorted.

    Links to folders are followed, but not back up, to where one has been, or to another class.

    Args:
        homes: where the folders of all classes are.
    """
    root, own, seen = folder.parent.resolve(), folder.resolve(), set[Path]()
    images: list[str] = []
    for place, folders, files in os.walk(folder, onerror=_refuse, followlinks=True):
        here = Path(place).resolve()
        elsewhere = here in homes and here != own
        if elsewhere or here in seen or root.is_relative_to(here):
            folders.clear()
            continue
        seen.add(here)
        folders[:] = [name for name in folders if not is_leftover(name)]
        images += [os.path.join(place, name) for name in files if is_image(name)]
    return sorted(images)


def is_image(name: str) -> bool:
    return name.lower().endswith(IMG_EXTENSIONS) and not is_leftover(name)


def _refuse(error: OSError) -> NoReturn:
    raise error  # os.walk would leave the folder out without a word


def _has_images(folder: Path) -> bool:
    return any(is_image(path.name) for path in folder.iterdir())


def _refuse_parts(root: Path, folders: Sequence[Path]) -> None:
    """Refuse, with a ValueError, folders that are parts of a data set, or data sets themselves."""
    where = printable(str(root))
    if not folders:
        raise ValueError(f"{where} must have a sub-folder with images for each class")
    names = in_short([folder.name for folder in folders])
    parts = [part for folder in folders if (part := part_of(folder.name))]
    if len(parts) == len(folders) or len(set(parts)) > 1:
        layout = "train/ and val/ (or test/), each with a sub-folder for each class"
        raise ValueError(
            f"{names} of {where} are parts of a data set, not classes: it needs {layout}"
        )
    inner = [sub_folders(folder) for folder in folders]
    sets = [{part_of(path.name) for path in paths} - {None} for paths in inner]
    deep = all(len(paths) > 1 for paths in inner) and not any(map(_has_images, folders))
    if deep or any(len(found) > 1 for found in sets):
        example = printable("/".join(next(p for p in inner if p)[0].parts[-2:]))
        advice = f"give one of them, such as {printable(str(folders[0]))}"
        raise ValueError(f"{names} of {where} look like data sets (they hold {example}): {advice}")

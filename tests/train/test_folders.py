"""Folders as people keep them: usual names of parts, numbers as names, leftovers, links."""

import os
import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from timm.data.readers.reader_image_folder import find_images_and_targets

from tresnet_lite.train import image_folder, load_data
from tresnet_lite.train.folders import (
    in_short,
    is_leftover,
    natural_order,
    part_of,
    parts_of,
)


def fill(folder, classes=("cat", "dog"), images=8):
    for label, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for number in range(images):
            picture = Image.new("RGB", (9, 7), (label % 256, number, 0))
            picture.save(folder / name / f"{number}.png")
    return folder


@given(st.lists(st.integers(-50, 2000), min_size=1, unique=True), st.sampled_from(["", "class "]))
def test_numbers_order_as_numbers(numbers, word):
    numbers = [number for number in numbers if not word or number >= 0]
    names = [f"{word}{number}" for number in numbers]
    random.Random(0).shuffle(names)
    assert sorted(names, key=natural_order) == [f"{word}{number}" for number in sorted(numbers)]


@given(st.lists(st.text(), max_size=8))
def test_any_names_have_an_order_and_only_one(names):
    assert sorted(names, key=natural_order) == sorted(names[::-1], key=natural_order)


def test_classes_are_numbered_as_timm_numbers_them(tmp_path):
    names = ("b10", "b9", "a", "10", "9", "x1y12", "x1y3", "007", "n02")
    fill(tmp_path, names, images=1)
    theirs = find_images_and_targets(str(tmp_path))[1]
    assert image_folder(tmp_path).class_to_idx == theirs


@pytest.mark.parametrize(
    ("name", "part"),
    [
        *((name, "train") for name in ("train", "Train", "TRAINING", "training_set", "trainset")),
        *((name, "train") for name in ("train2017", "Train Images", "train_data", "images-train")),
        *((name, "val") for name in ("val", "Valid", "validation", "validation_set", "dev")),
        *((name, "test") for name in ("test", "Testing", "test_set", "TestSet", "holdout")),
        *((name, None) for name in ("cat", "train station", "test tube", "set", "1", "trains")),
    ],
)
def test_parts_go_by_their_usual_names(name, part):
    assert part_of(name) == part


@pytest.mark.parametrize(
    "parts",
    [("Train", "Val"), ("training", "validation"), ("training_set", "test_set"), ("train", "dev")],
)
def test_parts_in_any_words_are_parts(tmp_path, parts):
    fill(tmp_path / parts[0], images=3)
    fill(tmp_path / parts[1], images=2)
    data = load_data(tmp_path)
    assert (data.classes, len(data.train), len(data.test)) == (("cat", "dog"), 6, 4)


def test_of_two_names_for_a_part_the_plain_one_counts_or_none(tmp_path):
    for name in ("train", "val", "valid", "test"):
        fill(tmp_path / name)
    assert parts_of(tmp_path) == {part: tmp_path / part for part in ("train", "val", "test")}
    (tmp_path / "val").rename(tmp_path / "validation")
    with pytest.raises(ValueError, match="valid and validation: rename the one to val"):
        load_data(tmp_path)


def test_a_class_may_be_called_train(tmp_path):
    data = load_data(fill(tmp_path, ("bus", "train", "car"), images=12))
    assert data.classes == ("bus", "car", "train")


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda p: (fill(p / "pets/train"), fill(p / "cars/train"), fill(p / "pets/val")), "pets"),
        (lambda p: (fill(p / "pets"), fill(p / "cars")), "cars, pets of .* look like data sets"),
        (lambda p: fill(p / "archive"), "archive of .* look like data sets .*archive/cat"),
        (lambda p: fill(p, ("train", "val")), "train, val of .* are parts of a data set"),
        (lambda p: fill(p / "Training"), "Training/ but neither val/ nor test/"),
        (lambda p: (fill(p / "test"), fill(p / "val")), "test, val of .* parts of a data set"),
        (lambda p: (fill(p / "train"), (p / "test").mkdir()), "neither val/ nor test/"),
        (lambda p: (fill(p), (p / "cow").mkdir()), "cow of .* has no image"),
    ],
)
def test_what_looks_like_something_else_than_classes_is_refused(tmp_path, make, reason):
    make(tmp_path / "data")
    with pytest.raises(ValueError, match=reason) as refused:
        load_data(tmp_path / "data")
    assert "\n" not in str(refused.value)


def test_images_may_lie_deeper_in_a_class(tmp_path):
    fill(tmp_path / "cat", ("indoors", "outdoors"))
    fill(tmp_path, ("dog",))
    images = image_folder(tmp_path)
    assert (images.classes, len(images)) == (["cat", "dog"], 24)


LEFT_BEHIND = (".ipynb_checkpoints", "__MACOSX", "@eaDir", ".git", "cat~", "lost+found", ".Trash-0")


def test_what_systems_leave_behind_is_no_class_and_no_image(tmp_path):
    fill(tmp_path)
    before = [path for path, _ in image_folder(tmp_path).samples]
    fill(tmp_path, LEFT_BEHIND)
    fill(tmp_path / "cat", LEFT_BEHIND)
    for name in ("._0.png", ".0.png", "~$0.png", "Thumbs.db", "notes.txt", "0.png~"):
        (tmp_path / "cat" / name).write_bytes(b"x")
        (tmp_path / name).write_bytes(b"x")
    images = image_folder(tmp_path)
    assert images.classes == ["cat", "dog"] and [path for path, _ in images.samples] == before
    assert all(map(is_leftover, LEFT_BEHIND)) and not is_leftover("cat")


@pytest.mark.parametrize("target", ["..", ".", "../..", "../dog", "../../train"])
def test_a_link_that_leads_back_adds_nothing(tmp_path, target):
    fill(tmp_path / "train"), fill(tmp_path / "val")
    (tmp_path / "train" / "cat" / "loop").symlink_to(target)
    data = load_data(tmp_path)
    assert (len(data.train), len(data.test)) == (16, 16)


def test_a_link_to_another_disk_is_followed(tmp_path):
    fill(tmp_path / "disk", ("cats", "more"))
    fill(tmp_path / "data", ("dog",))
    (tmp_path / "data" / "cat").symlink_to(tmp_path / "disk" / "cats")
    (tmp_path / "data" / "dog" / "more").symlink_to(tmp_path / "disk" / "more")
    images = image_folder(tmp_path / "data")
    assert images.targets == [0] * 8 + [1] * 16


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_cannot_be_read_is_no_silent_gap(tmp_path):
    fill(tmp_path / "cat", ("a",))
    (tmp_path / "cat" / "a").chmod(0)
    try:
        with pytest.raises(PermissionError):
            image_folder(tmp_path)
    finally:
        (tmp_path / "cat" / "a").chmod(0o700)


def test_lists_are_told_in_short():
    assert in_short(["a", "b"]) == "a, b"
    assert re.fullmatch(r"0, 1, 2 … \(1,000 in all\)", in_short([str(n) for n in range(1000)]))

"""Data by name and folder; broken images; what is random hangs on seed, epoch and image alone."""

import os

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch.utils.data import ConcatDataset, Subset
from training_helpers import RECIPE, data

from tresnet_lite.train import (
    Images,
    TooManyUnreadable,
    Unreadable,
    digits,
    image_folder,
    load_data,
    test_loader,
)
from tresnet_lite.train.data import content_key
from tresnet_lite.train.reading import Steps, image_loader, mixed, name_of


def fill(folder, images=4, classes=("cat", "dog")):
    for label, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for number in range(images):
            Image.new("RGB", (30, 24), (label * 200, number * 4, 0)).save(
                folder / name / f"{number}.png"
            )
    return folder


def test_digits_need_no_network_and_are_those_of_the_chapters():
    found, tensors = load_data("digits", download=False), digits()
    assert (len(found.train), len(found.test), found.channels, len(found.classes)) == (
        1347,
        450,
        1,
        10,
    )
    image, label = found.test[3]
    assert label == tensors.held_out_labels[3]
    pixels = torch.from_numpy(np.array(image)).float() / 255
    torch.testing.assert_close(pixels, tensors.held_out_images[3, 0], rtol=0, atol=0.5 / 255 + 1e-6)


def test_a_folder_laid_out_as_imagenet(tmp_path):
    fill(tmp_path / "train"), fill(tmp_path / "val", images=1)
    found = load_data(tmp_path)
    assert (len(found.train), len(found.test), found.classes) == (8, 2, ("cat", "dog"))
    image, label = found.train[5]
    assert label == 1 and image.getpixel((0, 0)) == (200, 4, 0)


def test_a_plain_folder_holds_out_a_quarter_by_name(tmp_path):
    found = load_data(fill(tmp_path / "a", images=60))
    again = load_data(fill(tmp_path / "b", images=60))
    # 30 ± 3 standard deviations
    assert len(found.train) + len(found.test) == 120 and 15 <= len(found.test) <= 45
    assert found.fingerprint == again.fingerprint and found.test.indices == again.test.indices
    assert not set(found.train.indices) & set(found.test.indices)
    (tmp_path / "b" / "dog" / "0.png").unlink()
    assert load_data(tmp_path / "b").fingerprint != found.fingerprint


def test_images_exchanged_under_their_names_are_other_data(tmp_path):
    fill(tmp_path / "train"), fill(tmp_path / "val")
    before = load_data(tmp_path).identity()
    assert before["class_names"] == ["cat", "dog"]
    picture = tmp_path / "val" / "cat" / "0.png"
    Image.new("RGB", (300, 240)).save(picture)
    after = load_data(tmp_path).identity()
    assert [name for name in before if before[name] != after[name]] == ["fingerprint"]


def test_an_image_is_known_by_its_content(tmp_path):
    """Renamed, moved to another class or copied it is the same; a byte may tell it apart."""
    fill(tmp_path / "a")
    path = tmp_path / "a" / "cat" / "0.png"
    key = content_key(path)
    moved = path.rename(tmp_path / "a" / "dog" / "other.png")
    assert content_key(moved) == key != content_key(tmp_path / "a" / "dog" / "1.png")
    content = bytearray(100_000)
    moved.write_bytes(content)
    keys = {content_key(moved)}
    for place in (0, 50_000, -1):
        content[place] = 1
        moved.write_bytes(content)
        keys.add(content_key(moved))
    assert len(keys) == 4
    os.mkfifo(tmp_path / "pipe")
    assert content_key(tmp_path / "pipe") == content_key(tmp_path / "nowhere") == 0


def test_what_was_trained_on_is_known_where_it_lies_beside_the_test_images(tmp_path):
    data = load_data(fill(tmp_path / "a", images=60))
    keys = data.trained().tolist()
    assert len(set(keys)) == len(data.train)
    tests = [data.test.dataset.samples[place][0] for place in data.test.indices]
    assert not set(keys) & set(map(content_key, tests))
    fill(tmp_path / "train"), fill(tmp_path / "val")
    assert load_data(tmp_path / "a").trained() is not None
    (tmp_path / "a").rename(tmp_path.parent / f"{tmp_path.name}-a")
    assert load_data(tmp_path).trained() is None and load_data("digits").trained() is None


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: p / "cifar", "'.*' is neither a folder nor a data set's name"),
        (lambda p: p, "must have a sub-folder with images for each class"),
        (lambda p: fill(p / "train").parent, "has train/ but neither val/ nor test/"),
        (
            lambda p: fill(fill(p / "train").parent / "val", classes=("cat", "cow")).parent,
            "cow, dog only in one",
        ),
        (lambda p: fill(p, images=1, classes=("x",)), "too few to hold out"),
    ],
)
def test_a_folder_that_does_not_fit(tmp_path, make, message):
    with pytest.raises(ValueError, match=message):
        load_data(make(tmp_path))


def test_a_misspelt_name_and_a_lost_network(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="did you mean cifar10 or cifar100"):
        load_data("cifar_10")
    with pytest.raises(ConnectionError, match="cifar10 is not in .*, and downloading is off"):
        load_data("cifar10", root=tmp_path, download=False)

    def offline(*_, **__):
        raise OSError("no route")

    monkeypatch.setattr("urllib.request.urlopen", offline)
    for name in ("cifar100", "imagenette", "flowers102", "stanford_cars"):
        with pytest.raises(
            ConnectionError, match=f"{name} is not in .* and cannot be fetched.*--data digits"
        ):
            load_data(name, root=tmp_path)


def test_broken_images_are_named_counted_and_skipped(tmp_path):
    fill(tmp_path / "train"), fill(tmp_path / "val")
    (tmp_path / "train/cat/1.png").write_bytes(b"no image")
    whole = (tmp_path / "train/cat/2.png").read_bytes()
    (tmp_path / "train/cat/2.png").write_bytes(whole[: len(whole) // 2])
    images = load_data(tmp_path).train
    (tmp_path / "train/dog/3.png").unlink()

    seen, unreadable = [], Unreadable(limit=3)
    for batch in test_loader(images, RECIPE.eval_transform(), batch=2):
        seen += batch.indices.tolist()
        unreadable.note(batch.unreadable)
    assert seen == [0, 3, 4, 5, 6]
    named = [text.split(":")[0].rsplit("train/")[-1] for text in unreadable.names]
    assert named == ["cat/1.png", "cat/2.png", "dog/3.png"]
    unreadable.note(unreadable.names)  # in the next epoch
    assert len(unreadable.names) == 3
    with pytest.raises(
        TooManyUnreadable,
        match="4 images cannot be read, more than the 3 .*cat/1.png.*--unreadable",
    ):
        unreadable.note(["another"])


def test_in_training_the_next_readable_image_stands_in(tmp_path):
    fill(tmp_path)
    for name in ("cat/1", "cat/2", "dog/3"):
        (tmp_path / f"{name}.png").write_bytes(b"")
    images = Images(image_folder(tmp_path), RECIPE.train_transform(), substitute=True)
    assert [images[0, index].index for index in range(8)] == [0, 3, 3, 3, 4, 5, 6, 0]
    assert (
        len(images[0, 1].unreadable) == 2
        and "cat/1.png: UnidentifiedImageError" in images[0, 1].unreadable[0]
    )
    for path in tmp_path.glob("*/*.png"):
        path.write_bytes(b"")
    with pytest.raises(TooManyUnreadable, match="8 images in a row"):
        images[0, 0]


def test_images_are_named_through_subsets_and_unions(tmp_path):
    folder = image_folder(fill(tmp_path))
    joined = ConcatDataset([Subset(folder, [3]), folder])
    assert name_of(joined, 0) == name_of(joined, 4) == str(tmp_path / "cat/3.png")
    assert name_of(data().train, 7) == "image 7"


def test_an_augmentation_hangs_on_seed_epoch_and_image_alone():
    found, transform = data().train, RECIPE.train_transform(channels=1)
    images = Images(found, transform, seed=5)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first = images[2, 7].image
    assert torch.equal(before, torch.get_rng_state())  # what else is random goes on undisturbed
    images[2, 8]
    assert torch.equal(images[2, 7].image, first)
    assert not torch.equal(images[3, 7].image, first) and not torch.equal(images[2, 8].image, first)
    assert not torch.equal(Images(found, transform, seed=6)[2, 7].image, first)


def test_workers_change_nothing():
    steps = Steps(36, 8, seed=1, start=2, stop=7)
    batches = []
    for workers in (0, 2):
        images = Images(data().train, RECIPE.train_transform(channels=1), seed=1, substitute=True)
        batches.append(list(image_loader(images, steps, workers=workers)))
    for alone, helped in zip(*batches, strict=True):
        assert torch.equal(alone.images, helped.images) and torch.equal(alone.labels, helped.labels)


@settings(max_examples=40, deadline=None)
@given(
    parts=st.integers(1, 3),
    processes=st.integers(1, 3),
    share=st.integers(1, 3),
    more=st.integers(0, 20),
    start=st.integers(0, 5),
    seed=st.integers(0, 3),
)
def test_a_steps_images_are_the_same_however_it_is_split(
    parts, processes, share, more, start, seed
):
    batch = parts * processes * share
    images, stop = batch * 2 + more, 6

    def joined(parts, processes, start):
        ranks = [
            list(Steps(images, batch, seed, start, stop, parts, rank, processes))
            for rank in range(processes)
        ]
        return [
            sorted(
                key
                for rank in ranks
                for part in rank[step * parts : (step + 1) * parts]
                for key in part
            )
            for step in range(stop - start)
        ]

    whole = joined(1, 1, 0)
    assert joined(parts, processes, start) == whole[start:]  # resumed, too
    per_epoch = images // batch
    for epoch in range(stop // per_epoch):
        keys = [key for step in whole[epoch * per_epoch : (epoch + 1) * per_epoch] for key in step]
        assert len(set(keys)) == per_epoch * batch and {e for e, _ in keys} == {epoch}


def test_mixed_seeds_differ():
    assert len({mixed(*parts) for parts in ((1, 23), (12, 3), (123,), (1, 2, 3), (3, 2, 1))}) == 5

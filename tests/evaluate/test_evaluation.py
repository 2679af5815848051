"""Evaluation on folders whose answers are known: grey images, and a network that tells their grey
level.
"""

import json
import shutil
from dataclasses import replace
from functools import partial

import pytest
import torch
from PIL import Image
from timm.data import ImageNetInfo
from torch import distributed, nn
from torch.multiprocessing import spawn

from tresnet_lite.evaluate import (
    Subject,
    photographs,
    predict,
    predictions,
    real_labels,
    score,
    subject,
    subjects,
    to_records,
)
from tresnet_lite.evaluate import __main__ as command
from tresnet_lite.evaluate.photographs import class_labels
from tresnet_lite.records import RecordError, load
from tresnet_lite.train import Recipe, TooManyUnreadable, build_network
from tresnet_lite.train import __main__ as train_command
from tresnet_lite.train.data import content_key, load_data
from tresnet_lite.train.networks import describe_network
from tresnet_lite.train.reading import name_of
from tresnet_lite.train.run_folder import EXACT, TRAINED, write_run
from tresnet_lite.transforms import eval_transform

CLASSES = 12
# True class and the class whose grey an image shows: 8 right; then 3 among the nearest five; then 2
# further away.
PLANTED = [*((k, k) for k in range(2, 10)), (2, 3), (5, 7), (9, 8), (3, 9), (10, 4)]


class GreyReader(nn.Module):
    """The likeliest class is the one whose grey is nearest to the image's mean, and so on."""

    def __init__(self, stop_after=None):
        super().__init__()
        self.register_buffer("greys", torch.arange(CLASSES) / (CLASSES - 1))
        self.images, self.stop_after = 0, stop_after

    def forward(self, x):
        if self.stop_after is not None and self.images >= self.stop_after:
            raise KeyboardInterrupt
        self.images += len(x)
        return -(x.mean((1, 2, 3))[:, None] - self.greys).square()


def reader(**options):
    return Subject("grey", GreyReader(**options), CLASSES, 3, 32, False, eval_transform(32))


def write_images(folder, planted=PLANTED, names="class {:02d}"):
    for number in range(CLASSES):
        (folder / names.format(number)).mkdir(parents=True)
        Image.new("RGB", (9, 7)).save(folder / names.format(number) / "black.png")
        # so that no class is empty, and each has one right answer
        grey = round(255 * number / (CLASSES - 1))
        Image.new("RGB", (9, 7), (grey,) * 3).save(folder / names.format(number) / "black.png")
    for place, (true, shown) in enumerate(planted):
        grey = round(255 * shown / (CLASSES - 1))
        Image.new("RGB", (60, 40), (grey,) * 3).save(
            folder / names.format(true) / f"image {place}.png"
        )
    return folder


@pytest.fixture
def folder(tmp_path):
    return write_images(tmp_path / "photographs")


def test_planted_labels_give_the_accuracies_that_they_must(folder, tmp_path):
    found = predict(reader(), photographs(folder, CLASSES), tmp_path / "kept", batch=4)
    top1, top5 = score(found)
    assert (top1.right, top5.right, top1.images) == (CLASSES + 8, CLASSES + 11, CLASSES + 13)
    assert found.unreadable == {}


def test_a_killed_evaluation_goes_on(folder, tmp_path):
    images, whole = (
        photographs(folder, CLASSES),
        predict(reader(), photographs(folder, CLASSES), tmp_path / "a"),
    )
    with pytest.raises(KeyboardInterrupt):
        predict(reader(stop_after=8), images, tmp_path / "b", batch=4)
    (file,) = (tmp_path / "b").glob("*/0.jsonl")
    with file.open("a") as half_written:
        half_written.write('{"indices": [8, 9')
    rest = reader()
    found = predict(rest, images, tmp_path / "b", batch=4)
    assert rest.network.images == len(images.dataset) - 8
    assert (found.top, found.labels) == (whole.top, whole.labels)
    again = reader()
    assert predict(again, images, tmp_path / "b").top == whole.top
    assert again.network.images == 0


def test_the_speed_is_that_of_one_batch_and_device(folder, tmp_path):
    images = photographs(folder, CLASSES)
    with pytest.raises(KeyboardInterrupt):
        predict(reader(stop_after=6), images, tmp_path, batch=2)
    found = predict(reader(), images, tmp_path, batch=4)
    assert sorted({size for _, size, _ in found.speeds}) == [2, 4]
    made = to_records(reader(), images.name, found, score(found), batch=4, dtype="float32")
    assert (
        made[-1].metric == "throughput" and made[-1].value.repeats == len(found.speeds_of(4)) == 3
    )
    found.speeds = [("another device", size, speed) for _, size, speed in found.speeds]
    assert [
        r.metric
        for r in to_records(reader(), images.name, found, score(found), batch=4, dtype="float32")
    ] == [
        "top1",
        "top5",
    ]


def test_other_weights_or_images_start_afresh(folder, tmp_path):
    images, of = photographs(folder, CLASSES), reader()
    here = predictions.place(of, images, tmp_path, "float32")
    other = reader()
    other.network.greys[0] = 0.01
    assert predictions.place(other, images, tmp_path, "float32") != here
    assert predictions.place(replace(of, squash=True), images, tmp_path, "float32") != here
    assert predictions.place(of, images, tmp_path, "bfloat16") != here
    assert predictions.place(of, photographs(folder, CLASSES), tmp_path, "float32") == here
    (folder / "class 03" / "image 1.png").rename(folder / "class 04" / "image 1.png")
    assert predictions.place(of, photographs(folder, CLASSES), tmp_path, "float32") != here


def test_images_exchanged_under_their_names_are_predicted_again(folder, tmp_path):
    """No name changes, nor the number of images."""
    before = predict(reader(), photographs(folder, CLASSES), tmp_path / "kept")
    for one, other in (("02", "09"), ("03", "08")):
        exchange(folder / f"class {one}" / "black.png", folder / f"class {other}" / "black.png")
    again = reader()
    after = predict(again, photographs(folder, CLASSES), tmp_path / "kept")
    assert again.network.images == len(before.top)
    fresh = predict(reader(), photographs(folder, CLASSES), tmp_path / "fresh")
    assert after.top == fresh.top != before.top


def exchange(one, other):
    one.rename(one.with_suffix(".old"))
    other.rename(one)
    one.with_suffix(".old").rename(other)


def test_an_image_that_was_unreadable_is_tried_again(folder, tmp_path, monkeypatch):
    """As after a network's drive was away: the file itself has not changed."""
    images, lost = photographs(folder, CLASSES), folder / "class 05" / "black.png"
    opened = images.dataset.loader
    monkeypatch.setattr(images.dataset, "loader", partial(gone, opened=opened, lost=lost))
    before = predict(reader(), images, tmp_path)
    assert list(before.unreadable.values()) == [f"{lost}: OSError: the drive is away"]
    monkeypatch.setattr(images.dataset, "loader", opened)
    again = reader()
    after = predict(again, images, tmp_path)
    assert again.network.images == 1 and after.unreadable == {}
    assert len(after.top) == len(before.top) + 1 == len(images.dataset)


def gone(path, opened, lost):
    if path == str(lost):
        raise OSError("the drive is away")
    return opened(path)


def test_what_was_kept_and_changed_is_refused(folder, tmp_path):
    images = photographs(folder, CLASSES)
    predict(reader(), images, tmp_path)
    (file,) = tmp_path.glob("*/0.jsonl")
    first = file.read_text().partition("\n")[0]
    file.write_text(first + '\n{"indices": [1]}\n')
    with pytest.raises(predictions.PredictionError, match="0.jsonl:2 holds no predictions"):
        predict(reader(), images, tmp_path)
    file.write_text("a file of somebody's\nwithout an end")
    with pytest.raises(RecordError, match="0.jsonl is none of our files"):
        predict(reader(), images, tmp_path)
    assert file.read_text() == "a file of somebody's\nwithout an end"


def test_broken_images_are_named_counted_and_limited(folder, tmp_path):
    for name in ("one", "two"):
        (folder / "class 05" / f"{name}.jpg").write_bytes(b"no image")
    told = []
    images = photographs(folder, CLASSES)
    found = predict(reader(), images, tmp_path / "a", batch=2, unreadable=2, tell=told.append)
    assert len(found.unreadable) == len(told) == 2
    assert {"one.jpg", "two.jpg"} == {
        text.split(":")[0].split("/")[-1] for text in found.unreadable.values()
    }
    assert score(found)[0].images == CLASSES + len(PLANTED)
    rest = reader()
    assert len(predict(rest, images, tmp_path / "a", unreadable=2).unreadable) == 2
    assert rest.network.images == 0
    with pytest.raises(TooManyUnreadable, match="one.jpg"):
        predict(reader(), images, tmp_path / "b", unreadable=1)


def test_logits_that_are_no_numbers_are_refused(folder, tmp_path):
    of = reader()
    of.network.greys[3] = float("nan")
    with pytest.raises(ValueError, match="no finite numbers in float32"):
        predict(of, photographs(folder, CLASSES), tmp_path)


def work(rank, folder, kept):
    distributed.init_process_group(
        "gloo", init_method=f"file://{kept}/store", rank=rank, world_size=2
    )
    images = photographs(folder, CLASSES)
    of = reader()
    found = predict(of, images, f"{kept}/kept", batch=3)
    line = {"right": score(found)[0].right, "seen": of.network.images, "found": len(found.top)}
    with open(f"{kept}/{rank}.json", "w") as file:
        json.dump(line, file)
    distributed.destroy_process_group()


def test_two_processes_see_every_image_once(folder, tmp_path):
    images = photographs(folder, CLASSES)
    with pytest.raises(KeyboardInterrupt):  # what one process did is not done again by two
        predict(reader(stop_after=3), images, tmp_path / "kept", batch=3)
    spawn(work, (str(folder), str(tmp_path)), nprocs=2)
    ranks = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2)]
    assert sum(r["seen"] for r in ranks) == len(images.dataset) - 3
    assert all(r["found"] == len(images.dataset) and r["right"] == CLASSES + 8 for r in ranks)


# The photographs and their labels


def test_labels_of_imagenets_folders():
    # "0", "1", "10", …: as texts, ImageNet-V2's classes are out of order
    for names in ("{}", "class{}", "class {:04d}"):
        for first in (0, 1):
            classes = sorted(names.format(first + label) for label in range(1000))
            labels = dict(zip(classes, class_labels(classes, 1000), strict=True))
            assert all(labels[names.format(first + label)] == label for label in range(1000))
    assert class_labels(["n01440764", "n01484850"], 1000) == [0, 2]  # tench, great white shark
    for unknown in (["tench", "shark"], ["n00000001", "n01440764"], ["0", "1"]):
        assert class_labels(unknown, 1000) is None
    assert class_labels([*map(str, range(2, 1002))], 1000) is None
    assert class_labels([f"name {letter}" for letter in map(chr, range(200, 1200))], 1000) is None


def test_labels_of_other_weights_are_in_the_names_order():
    assert class_labels(["0", "1", "10", "11", "2"], 5) == [0, 1, 3, 4, 2]
    assert class_labels(["n01440764", "n01484850"], 2) == [0, 1]
    assert class_labels(["dog", "cat"], 2) == [1, 0]
    assert class_labels(["dog", "cat"], 3) is None


def test_labels_of_a_run_are_its_classes_names():
    names = ["dog", "cat", "ant"]  # in whatever order it learnt them
    assert class_labels(["ant", "cat", "dog"], 3, names) == [2, 1, 0]
    assert class_labels(["ant", "dog"], 3, names) == [2, 0]
    assert class_labels(["ant", "cow", "dog"], 3, names) is None
    assert class_labels(["0", "1", "2"], 3, names) is None
    synsets = ImageNetInfo("imagenet-1k").label_names()
    assert class_labels(["1", "0", *map(str, range(2, 1000))], 1000, synsets)[:3] == [1, 0, 2]


def test_a_part_of_imagenet_keeps_its_labels(tmp_path):
    for synset in ("n01440764", "n01484850"):
        (tmp_path / "val" / synset).mkdir(parents=True)
        Image.new("RGB", (4, 4)).save(tmp_path / "val" / synset / "image.png")
    images = photographs(tmp_path, 1000)
    assert ([label for _, label in images.dataset], images.name) == ([0, 2], "val")


@pytest.mark.parametrize(
    ("prepare", "reason"),
    [
        (lambda folder: folder / "nowhere", "is neither a folder nor a data set's name"),
        (lambda folder: folder / "class 00", "no sub-folders: .* named by synset"),
        (lambda folder: folder, r"has 12 classes \(class 00, .*, the model 1,000: ImageNet's syns"),
    ],
)
def test_data_that_do_not_fit_are_refused(folder, prepare, reason):
    with pytest.raises(ValueError, match=reason):
        photographs(prepare(folder), 1000)


def test_grey_images_are_refused_by_a_network_for_colour(tmp_path):
    of = replace(reader(), num_classes=10)
    with pytest.raises(ValueError, match="digits has 1 channels per image, grey takes 3"):
        predict(of, photographs("digits", 10), tmp_path)


def named_images(tmp_path, count):
    (tmp_path / "val" / "n01440764").mkdir(parents=True)
    for number in range(1, count + 1):
        Image.new("RGB", (2, 2)).save(
            tmp_path / "val" / "n01440764" / f"ILSVRC2012_val_{number:08d}.JPEG"
        )
    return photographs(tmp_path, 1000)


def test_real_labels_count_as_timms_do(tmp_path):
    from timm.data import RealLabelsImagenet

    labels = [[1, 2], [], [7], [0], [4, 5, 6]]
    file = tmp_path / "real.json"
    file.write_text(json.dumps(labels))
    images = named_images(tmp_path, len(labels))
    logits = torch.rand(len(labels), 9, generator=torch.Generator().manual_seed(1))
    theirs = RealLabelsImagenet(
        [path for path, _ in images.dataset.samples], str(file), topk=(1, 5)
    )
    theirs.add_result(logits)
    found = predictions.Predictions(dict(enumerate(logits.topk(5).indices.tolist())))
    ours = score(found, real_labels(images.dataset, file))
    assert [of_one.percent for of_one in ours] == pytest.approx(
        [theirs.get_accuracy(k) for k in (1, 5)]
    )
    assert ours[0].images == 4


def test_real_labels_come_with_timm_too(tmp_path):
    found = real_labels(named_images(tmp_path, 3).dataset)
    assert len(found) == 3 and all(0 <= label < 1000 for of_one in found for label in of_one)


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "no labels at"), ("[1, 2", "is not JSON"), ("[1, 2]", "must hold a list of labels")],
)
def test_other_files_are_no_real_labels(tmp_path, content, reason):
    if content is not None:
        (tmp_path / "real.json").write_text(content)
    with pytest.raises(ValueError, match=reason):
        real_labels(named_images(tmp_path, 1).dataset, tmp_path / "real.json")


def test_real_labels_need_imagenets_names(folder):
    with pytest.raises(
        ValueError, match="black.png: ReaL's labels are for ImageNet's validation images"
    ):
        real_labels(photographs(folder, CLASSES).dataset)


# What is evaluated, and how it wants its images


@pytest.fixture
def published(monkeypatch):
    """Fresh weights in place of those that the hub has, and what was asked for."""
    asked, networks = [], {}

    def read(source):
        asked.append(source)
        name = source.removeprefix("timm/").partition(".")[0]
        networks.setdefault(name, build_network(name, num_classes=1000))
        return networks[name].state_dict()

    monkeypatch.setattr(subjects, "read_checkpoint", read)
    return asked


def test_the_three_ways_to_bring_a_photograph_to_size(published):
    photograph = Image.new("RGB", (640, 480), "white")
    # at the left edge, which a crop of the centre does not show
    photograph.paste("red", (0, 0, 80, 480))
    ways = {(224, None): ("miil_in1k", 224, False), (448, None): ("miil_in1k_448", 448, True)}
    ways[448, "crop"] = ("miil_in1k_448", 448, False)
    for (size, protocol), (tag, side, squashed) in ways.items():
        of = subject("tresnet_m", size=size, protocol=protocol)
        image = of.transform(photograph)
        assert (
            of.name == f"tresnet_m.{tag}"
            and image.shape == (3, side, side)
            and of.squash == squashed
        )
        assert bool(image[1, side // 2, 0] < 0.1) == squashed
    assert published == ["timm/tresnet_m.miil_in1k", *["timm/tresnet_m.miil_in1k_448"] * 2]


def test_a_tag_says_the_size(published):
    of = subject("tresnet_m.miil_in1k_448")
    assert (of.size, of.protocol) == (448, "squash")


def test_a_model_of_timm_is_given_images_as_it_was_trained(tmp_path):
    import timm

    network = timm.create_model("test_resnet", num_classes=5)
    torch.save(network.state_dict(), tmp_path / "weights.pt")
    # five classes there, a thousand here
    with pytest.raises(ValueError, match=r"fc.weight: checkpoint \(5, "):
        subject("test_resnet", tmp_path / "weights.pt")
    torch.save(timm.create_model("test_resnet").state_dict(), tmp_path / "weights.pt")
    of = subject("test_resnet", tmp_path / "weights.pt")
    assert of.size == network.pretrained_cfg["input_size"][1] and of.standardise
    theirs = timm.data.create_transform(**timm.data.resolve_model_data_config(network))
    photograph = Image.effect_noise((300, 200), 50).convert("RGB")
    torch.testing.assert_close(of.transform(photograph), theirs(photograph))
    squashed = subject("test_resnet", tmp_path / "weights.pt", size=64, protocol="squash")
    assert squashed.squash and squashed.transform(photograph).shape == (3, 64, 64)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"model": "tresnet_n"}, "no model 'tresnet_n'.*tresnet_"),
        ({"model": "resnet50"}, "no published weights of resnet50.*resnet50.a1_in1k"),
        ({"model": "+ AA"}, "no published weights"),
        ({"model": "tresnet_m", "protocol": "stretch"}, "crop or squash"),
        ({"model": "tresnet_m", "size": 0}, "at least 1 pixel"),
    ],
)
def test_misuse_is_told(arguments, reason):
    with pytest.raises(ValueError, match=reason):
        subject(**arguments)


# The command


@pytest.fixture
def trained(tmp_path):
    """A checkpoint as `tresnet_lite.train` leaves it, of a narrow network."""
    torch.manual_seed(0)
    network = build_network("tresnet_m", num_classes=CLASSES, width=8, depths=(1, 1, 1, 1)).eval()
    (tmp_path / "run").mkdir()
    about = {"recipe": Recipe(size=32).__dict__, "model": describe_network(network, "tresnet_m")}
    about |= {"data": {"name": "other", "fingerprint": "0"}, "seed": 0, "init": None}
    write_run(tmp_path / "run" / "last.pt", {"model": network.state_dict(), EXACT: about})
    return network, tmp_path / "run"


def call(folder, run, tmp_path, *more):
    places = [
        "--keep",
        str(tmp_path / "kept"),
        "--records",
        str(tmp_path / "records.jsonl"),
        "--workers",
        "0",
    ]
    return command.main(
        ["--weights", str(run), "--data", str(folder), "--batch", "4", *places, *more]
    )


def test_the_command_scores_a_trained_network(folder, trained, tmp_path, capsys):
    from sklearn.metrics import top_k_accuracy_score

    network, run = trained
    assert call(folder, run, tmp_path) == 0
    images = photographs(folder, CLASSES).dataset
    with torch.no_grad():
        logits = network(torch.stack([eval_transform(32)(image) for image, _ in images]))
    labels = [label for _, label in images]
    expected = [
        100 * top_k_accuracy_score(labels, logits, k=k, labels=range(CLASSES)) for k in (1, 5)
    ]
    top1, top5, speed = load(tmp_path / "records.jsonl")
    assert [top1.value.median, top5.value.median] == pytest.approx(expected)
    assert (top1.metric, top5.metric, speed.metric) == ("top1", "top5", "throughput")
    assert (top1.suite, top1.case, top1.value.repeats) == (
        "accuracy",
        "photographs, crop",
        len(images),
    )
    assert (speed.case, speed.part) == ("photographs, crop", "with reading")
    assert top1.model.startswith("tresnet_m (run, ") and top1.conditions.resolution == 32
    told = capsys.readouterr().out
    assert f"top-1 {expected[0]:.2f} %" in told and "images per second" in told
    assert call(folder, run, tmp_path) == 0
    assert len(load(tmp_path / "records.jsonl")) == 3  # said again, and not measured again


NAMES = [f"class {number:02d}" for number in range(CLASSES)]


def about_data(run, **data):
    """Change what a run says of its data."""
    checkpoint = torch.load(run / "last.pt")
    checkpoint[EXACT]["data"] |= data
    trained = checkpoint[EXACT]["data"].pop("trained", None)
    write_run(run / "last.pt", {**checkpoint, **({} if trained is None else {TRAINED: trained})})


def test_the_command_matches_a_runs_classes_by_name(folder, trained, tmp_path, capsys):
    """In another order of the names, and of some of them alone, each keeps its label."""
    _, run = trained
    about_data(run, class_names=NAMES)
    assert call(folder, run, tmp_path) == 0
    straight = predict(subject(None, run), photographs(folder, CLASSES), tmp_path / "a")
    about_data(run, class_names=NAMES[::-1])
    of = subject(None, run)
    turned = predict(of, photographs(folder, CLASSES, of.trained_on), tmp_path / "b")
    assert turned.labels == {n: CLASSES - 1 - label for n, label in straight.labels.items()}
    shutil.rmtree(folder / "class 00")
    some = photographs(folder, CLASSES, of.trained_on).dataset
    assert {label for _, label in some} == set(range(CLASSES - 1))
    (folder / "class 01").rename(folder / "cow")
    assert call(folder, run, tmp_path) == 2
    error = capsys.readouterr().err
    assert "has 11 classes (class 02, class 03, class 04 … (11 in all))" in error
    assert "the model 12: class 11, class 10, class 09 … (12 in all); unknown are cow" in error


def test_a_named_data_set_has_its_own_classes(tmp_path):
    """Ten classes are no reason to take a run's labels for digits."""
    digits = [str(number) for number in range(10)]
    assert len(photographs("digits", 10, {"class_names": digits}).dataset) == 450
    for names in (digits[::-1], ["plane", "car", *digits[2:]]):
        with pytest.raises(ValueError, match="digits has 10 classes .* the model 10: "):
            photographs("digits", 10, {"class_names": names})


def test_no_image_counts_that_a_run_was_trained_on(folder, trained, tmp_path, capsys):
    """Whatever was added to the folder, or renamed in it, since."""
    _, run = trained
    planted = sorted(folder.glob("*/image *.png"))  # three are alike
    keys = torch.tensor([content_key(path) for path in planted])
    about_data(run, class_names=NAMES, trained=keys)
    assert call(folder, run, tmp_path) == 0
    assert f"{len(planted)} more are left out: the run was trained on" in capsys.readouterr().out
    planted[0].rename(folder / "class 11" / "moved.png")
    shutil.copy(planted[1], folder / "class 11" / "copied.png")
    of = subject(None, run)
    images = photographs(folder, CLASSES, of.trained_on)
    assert {path.rsplit("/")[-1] for path in map(images_name(images), range(CLASSES))} == {
        "black.png"
    }
    assert (len(images.dataset), images.trained_on) == (CLASSES, len(planted) + 1)
    for path in folder.glob("*/black.png"):
        shutil.copy(planted[1], path)
    with pytest.raises(ValueError, match="the run was trained on all"):
        photographs(folder, CLASSES, of.trained_on)


def images_name(images):
    return partial(name_of, images.dataset)


def test_a_trainings_own_accuracy_comes_out_again(tmp_path, capsys):
    """A run on a folder without test images, and its evaluation, before and after an addition."""
    folder = write_images(tmp_path / "flat", [(k, k) for k in range(CLASSES)] * 5)
    for number, path in enumerate(sorted(folder.glob("*/*.png"))):
        with Image.open(path) as image:
            image = image.resize((30, 20))
        image.putpixel((0, 0), (number, 0, 255))  # each is itself
        image.save(path)
    quick = "--width 4 --depths 1,1,1,1 --epochs 1 --batch 8 --lr 0.01 --size 32 --device cpu"
    out = ["--data", str(folder), "--out", str(tmp_path / "run"), "--no-tensorboard"]
    assert train_command.main([*quick.split(), "--workers", "0", *out]) == 0
    said = capsys.readouterr().out
    tested = load_data(folder).test
    assert f"test accuracy {accuracy_of(folder, tmp_path, capsys, len(tested))} %" in said
    Image.new("RGB", (5, 5)).save(folder / "class 03" / "new.png")
    accuracy_of(folder, tmp_path, capsys, len(tested) + 1)


def accuracy_of(folder, tmp_path, capsys, images):
    """What the command says, and that it is of so many images."""
    assert call(folder, tmp_path / "run", tmp_path) == 0
    said = capsys.readouterr().out
    assert f"on flat: {images} images" in said
    return said.partition("top-1 ")[2].partition(" %")[0]


def test_a_foreign_file_of_records_is_refused_before_anything_is_predicted(
    folder, trained, tmp_path, capsys
):
    notes = tmp_path / "notes.txt"
    notes.write_text("my notes\nwithout an end")
    assert call(folder, trained[1], tmp_path, "--records", str(notes)) == 2
    assert "notes.txt is none of our files" in capsys.readouterr().err
    assert notes.read_text() == "my notes\nwithout an end"
    assert not list((tmp_path / "kept").glob("*/*.jsonl"))


@pytest.mark.parametrize(
    ("option", "value", "reason"),
    [
        ("--batch", "0", "argument --batch: it is '0' and must be a whole number, 1 or more"),
        ("--workers", "-1", "argument --workers: it is '-1' and must be a whole number, 0 or more"),
        ("--unreadable", "many", "argument --unreadable: it is 'many' and must be a whole number"),
        ("--size", "1000000", "argument --size: it is '1000000' and must be a whole number, from"),
        ("--labels", "", "--labels: the value is empty; is a variable of the shell not set?"),
        ("--weights", "", "--weights: the value is empty"),
        ("--standardise", None, "--standardise has no effect here, as a run says itself"),
    ],
)
def test_options_are_checked_in_a_line(folder, trained, tmp_path, capsys, option, value, reason):
    more = [option] if value is None else [option, value]
    try:
        assert call(folder, trained[1], tmp_path, *more) == 2
    except SystemExit as stopped:
        assert stopped.code == 2
    assert reason in capsys.readouterr().err


def test_the_command_evaluates_by_name(tmp_path):
    network = build_network("tresnet_m", num_classes=10, in_chans=1, width=8, depths=(1, 1, 1, 1))
    about = {
        "recipe": Recipe(size=32, squash=True).__dict__,
        "model": describe_network(network, "tresnet_m"),
    }
    about |= {"data": {"name": "digits", "fingerprint": ""}, "seed": 0, "init": None}
    write_run(tmp_path / "last.pt", {"model": network.state_dict(), EXACT: about})
    assert call("digits", tmp_path / "last.pt", tmp_path, "--batch", "64") == 0
    top1 = load(tmp_path / "records.jsonl")[0]
    assert (top1.case, top1.value.repeats) == ("digits, squash", 450)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "what to evaluate"),
        (["--model", "tresnet_m", "--weights", "nowhere.pt"], "no file 'nowhere.pt'"),
        (["--table", "3", "--size", "224"], "--table says itself"),
        (["--model", "tresnet_m", "--dtype", "float16", "--device", "cpu"], "float16 needs a GPU"),
        (["--model", "tresnet_m", "--device", "gpu"], "there is no device 'gpu': give cuda"),
    ],
)
def test_the_command_refuses_what_cannot_be(arguments, reason, capsys):
    assert command.main(["--data", "nowhere", *arguments]) == 2
    assert reason in capsys.readouterr().err


def test_out_of_memory_is_told_in_a_line(folder, trained, tmp_path, monkeypatch, capsys):
    def predict(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(command, "predict", predict)
    assert call(folder, trained[1], tmp_path) == 1
    advice = "out of memory: give a smaller --batch than 4: CUDA out of memory. Tried to allocate"
    assert capsys.readouterr().err.startswith(advice)


def test_a_table_is_all_its_weights(monkeypatch):
    found = []
    monkeypatch.setattr(command, "subject", lambda model, **options: (model, *options.values()))
    monkeypatch.setattr(command, "evaluate_subject", lambda subject, *_: found.append(subject))
    assert command.main(["--data", "nowhere", "--table", "5"]) == 0
    assert found[0] == ("tresnet_m.miil_in1k", 224, "crop")
    assert found[3] == ("tresnet_m.miil_in1k_448", 448, "squash")
    assert found[6] == ("tresnet_m.miil_in1k_448", 448, "crop")
    assert len(found) == 9


def test_nothing_right_is_a_record_too(folder, tmp_path):
    of = reader()
    of.network.greys.neg_().add_(10)  # the darkest class for the lightest image
    found = predict(of, photographs(folder, CLASSES), tmp_path, batch=4)
    scores = score(found)
    scores = tuple(replace(of_one, right=0) for of_one in scores)
    top1, top5, _ = to_records(of, "photographs", found, scores, batch=4, dtype="float32")
    assert (top1.value.median, top1.value.q1) == (0, 0) and top5.value.q3 > 0

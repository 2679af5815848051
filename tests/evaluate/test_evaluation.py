"""Evaluation on folders whose answers are known: grey images, and a network that tells their grey
level.
"""

import json
from dataclasses import replace

import pytest
import torch
from PIL import Image
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
from tresnet_lite.evaluate.photographs import label_order
from tresnet_lite.records import load
from tresnet_lite.train import Recipe, TooManyUnreadable, build_network
from tresnet_lite.train.networks import describe_network
from tresnet_lite.train.run_folder import EXACT, write_run
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
    (folder / "class 03" / "image 1.png").rename(folder / "class 04" / "image 1.png")
    assert predictions.place(of, photographs(folder, CLASSES), tmp_path, "float32") != here


def test_what_was_kept_and_changed_is_refused(folder, tmp_path):
    images = photographs(folder, CLASSES)
    predict(reader(), images, tmp_path)
    (file,) = tmp_path.glob("*/0.jsonl")
    file.write_text('{"indices": [1]}\n')
    with pytest.raises(predictions.PredictionError, match="0.jsonl:1 holds no predictions"):
        predict(reader(), images, tmp_path)


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
    # "0", "1", "10", …: as names, ImageNet-V2's classes are out of order
    numbers = sorted(map(str, range(1000)))
    assert label_order(numbers, 1000)[:4] == [0, 1, 10, 100]
    assert label_order(["n01440764", "n01484850"], 1000) == [0, 2]  # tench, great white shark
    assert label_order(["tench", "shark"], 1000) is None
    assert label_order(["n01440764", "n01484850"], 2) is None
    with pytest.raises(ValueError, match="1 of 2 synsets are not among"):
        label_order(["n00000001", "n01440764"], 1000)


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
        (lambda folder: folder, "has 12 classes, the model 1,000"),
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

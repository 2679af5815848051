"""`python -m tresnet_lite.train`: what it prints, its exit codes, weights to start from, jobs."""

import argparse
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from training_helpers import RECIPE, data, tresnet

from tresnet_lite import ablation_ladder, create_model
from tresnet_lite.train import __main__ as command
from tresnet_lite.train import build_network, initialise_from, load_trained, read_log, slurm
from tresnet_lite.train.data import NAMED
from tresnet_lite.train.networks import find_config

NARROW = ["--width", "4", "--depths", "1,1,1,1"]
QUICK = [
    *NARROW,
    "--epochs",
    "1",
    "--batch",
    "8",
    "--size",
    "20",
    "--no-tensorboard",
    "--device",
    "cpu",
]


@pytest.fixture(autouse=True)
def small_data(monkeypatch):
    """The digits' place is taken by a few small images."""
    monkeypatch.setitem(NAMED, "digits", lambda _: data())


def run(out, *more):
    return command.main([*QUICK, "--out", str(out), *more])


def test_a_run_says_what_it_does_and_how_to_go_on(tmp_path, capsys):
    assert run(tmp_path / "a", "--lr", "0.01") == 0
    said = capsys.readouterr().out
    assert (
        "tresnet_m, " in said
        and "36 images to train, 21 to test" in said
        and "epoch 1/1: loss" in said
    )
    assert (
        "test accuracy " in said
        and f"tresnet_lite.evaluate --weights {tmp_path / 'a' / 'last.pt'}" in said
    )
    _, identity = load_trained(tmp_path / "a")
    assert (identity["recipe"]["lr"], identity["recipe"]["label_smoothing"]) == (
        0.01,
        RECIPE.label_smoothing,
    )
    assert run(tmp_path / "a", "--lr", "0.02") == 2
    assert "recipe.lr: 0.01 there, 0.02 here" in capsys.readouterr().err
    assert run(tmp_path / "a", "--lr", "0.01") == 0 and "test accuracy" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "cifar"], "neither a folder nor a data set's name; did you mean cifar10"),
        (["--model", "tresnet_n"], "no model 'tresnet_n'; did you mean tresnet_m"),
        (["--model", "9"], "Table 4 has the rungs 0 to 5, not 9"),
        (["--model", "resnet18"], "depths, width: options of our networks, not of timm's resnet18"),
        (["--epochs", "many"], "epochs is a whole number, not 'many'"),
        (["--norm", "gn"], "norm is one of iabn, bn"),
        (["--init", "nowhere.pt"], "no file 'nowhere.pt'"),
        (["--batch", "100"], "less than a batch of 100"),
        (["--device", "cuda"], "there is no GPU here"),
        (["--device", "gpu"], "there is no device 'gpu': give cuda, cuda:1 or cpu"),
    ],
)
def test_misuse_is_told_in_a_line(tmp_path, capsys, arguments, message):
    if "cuda" in arguments and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    assert run(tmp_path, *arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and message in error and "Traceback" not in error


@pytest.mark.parametrize(
    ("option", "value", "reason"),
    [
        ("--accumulate", "0", "must be a whole number, 1 or more"),
        ("--accumulate", "-1", "must be a whole number, 1 or more"),
        ("--log-every", "0", "must be a whole number, 1 or more"),
        ("--log-every", "1.5", "must be a whole number, 1 or more"),
        ("--unreadable", "-1", "must be a whole number, 0 or more"),
        ("--workers", "-1", "must be a whole number, 0 or more"),
        ("--seed", str(2**70), "must be a whole number, 0 or more"),
        ("--save-minutes", "nan", "must be a number, 0 or more"),
        ("--save-minutes", "inf", "must be a number, 0 or more"),
    ],
)
def test_an_option_out_of_its_bounds_is_named(tmp_path, capsys, option, value, reason):
    with pytest.raises(SystemExit) as stopped:
        run(tmp_path, option, value)
    error = capsys.readouterr().err.splitlines()[-1]
    assert stopped.value.code == 2 and f"argument {option}: it is {value!r} and {reason}" in error


@pytest.mark.parametrize("option", ["--init", "--out", "--data", "--model", "--root", "--device"])
@pytest.mark.parametrize("joined", [True, False])
def test_an_empty_value_is_refused_and_named(tmp_path, capsys, monkeypatch, option, joined):
    """As of `--init $CKPT` without CKPT, which would train from scratch."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        run(tmp_path, *([f"{option}="] if joined else [option, ""]))
    assert f"{option}: the value is empty; is a variable of" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "option", [["--gpus", "4"], ["--nodes", "2"], ["--hours", "1"], ["--cluster", "local"]]
)
def test_options_of_a_job_are_refused_without_one(tmp_path, capsys, option):
    with pytest.raises(SystemExit):
        run(tmp_path, *option)
    assert f"{option[0]} is for jobs of Slurm: give it with --submit" in capsys.readouterr().err


def test_an_interruption_before_the_first_step_is_a_line(tmp_path, monkeypatch, capsys):
    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setitem(NAMED, "digits", interrupted)
    assert run(tmp_path) == 130
    assert capsys.readouterr().err == "interrupted: the same command goes on\n"


def test_a_network_of_one_size_says_which(tmp_path, capsys):
    model = ["--model", "vit_tiny_patch16_224", "--out", str(tmp_path)]
    assert command.main(["--epochs", "1", "--batch", "8", "--size", "32", *model]) == 2
    assert "size is 32: this network takes 224 pixels (--size 224)" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["last.pt", "best.pt", "log.jsonl", ".lock"])
def test_somebody_elses_files_in_the_runs_folder_stay(tmp_path, capsys, name):
    """Other programs call their weights best.pt, too."""
    content = b"mine\nand without an end"
    (tmp_path / name).write_bytes(content)
    assert run(tmp_path) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and name in error and len(error.splitlines()) == 1
    assert (tmp_path / name).read_bytes() == content


def test_somebody_elses_folders_stay_too(tmp_path):
    kept = tmp_path / ".last.pt.backup"
    kept.mkdir()
    (kept / "mine.txt").write_text("mine")
    assert run(tmp_path) == 0
    assert (kept / "mine.txt").read_text() == "mine"


def test_an_unknown_option_names_the_nearest(capsys):
    with pytest.raises(SystemExit) as stopped:
        command.main(["--epoch", "3"])
    assert (
        stopped.value.code == 2
        and "unknown option --epoch; did you mean --epochs" in capsys.readouterr().err
    )


def test_a_loss_that_is_no_number_has_its_exit_code(tmp_path, capsys):
    assert run(tmp_path, "--lr", "1e30", "--epochs", "2") == 1
    assert "stopped: " in capsys.readouterr().err


def test_fine_tuning_starts_from_a_run(tmp_path, capsys):
    assert run(tmp_path / "a") == 0
    assert run(tmp_path / "b", "--init", str(tmp_path / "a" / "last.pt"), "--size", "24") == 0
    assert f"weights from {tmp_path / 'a' / 'last.pt'}\n" in capsys.readouterr().out
    assert run(tmp_path / "c", "--init", str(tmp_path / "a"), "--size", "24") == 0
    assert f"weights from {tmp_path / 'a' / 'last.pt'}\n" in capsys.readouterr().out
    assert run(tmp_path / "d", "--init", str(tmp_path)) == 2
    assert "is a folder: give a file of weights in it" in capsys.readouterr().err
    model, _ = load_trained(tmp_path / "a")
    fresh = tresnet(se_reduction="code")
    assert initialise_from(fresh, tmp_path / "a" / "last.pt").startswith("weights from")
    assert all(
        torch.equal(a, b) for a, b in zip(fresh.parameters(), model.parameters(), strict=True)
    )


def test_a_classifier_for_other_classes_stays_fresh(tmp_path):
    for name, other in (("tresnet_m", {"width": 4, "depths": (1, 1, 1, 1)}), ("resnet10t", {})):
        old, new = (build_network(name, num_classes=classes, **other) for classes in (7, 3))
        torch.save(old.state_dict(), tmp_path / "old.pt")
        before = {key: value.clone() for key, value in new.state_dict().items()}
        assert "but for the classifier" in initialise_from(new, tmp_path / "old.pt")
        for key, value in new.state_dict().items():
            source = before if value.shape[:1] == (3,) and "fc." in key else old.state_dict()
            assert torch.equal(value, source[key]), key


def test_networks_by_name_rung_and_number():
    ladder = list(ablation_ladder().items())
    assert find_config("0") == find_config("Original ResNet50") == ladder[0][1]
    assert find_config("5") == find_config("+ AA") == ladder[-1][1]
    ours, timms = (
        build_network(name, num_classes=4, in_chans=1) for name in ("resnet50", "resnet18")
    )
    assert ours.config == create_model("resnet50").config and timms.num_classes == 4


def test_a_job_of_two_processes(tmp_path, monkeypatch, capfd):
    pytest.importorskip("submitit", reason="submitit is an optional extra")
    monkeypatch.setenv("PYTHONPATH", str(Path(command.__file__).parents[1]))
    images = tmp_path / "images"
    for number in range(24):
        path = images / ("train" if number < 16 else "val") / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 20), (number, 0, 0)).save(path)
    job = [
        "--submit",
        "--cluster",
        "local",
        "--gpus",
        "0",
        "--tasks",
        "2",
        "--workers",
        "0",
        "--synchronise",
    ]
    assert run(tmp_path / "run", "--data", str(images), *job) == 0
    assert f"run in {tmp_path / 'run'}" in capfd.readouterr().out
    (start,) = read_log(tmp_path / "run", "start")
    assert start["processes"] == 2 and [
        event["images"] for event in read_log(tmp_path / "run")
    ] == [8]
    (said,) = tmp_path.glob("run/jobs/*_0_log.out")
    assert "16 images to train, 8 to test" in said.read_text()
    assert "\r" not in said.with_suffix(".err").read_text()  # no bar in a log


def test_a_job_whose_run_fails_fails(tmp_path, monkeypatch):
    helpers = pytest.importorskip("submitit.helpers", reason="submitit is an optional extra")
    monkeypatch.setattr(
        helpers, "TorchDistributedEnvironment", lambda: argparse.Namespace(export=lambda **_: None)
    )
    options = command.parse([*QUICK, "--out", str(tmp_path), "--model", "tresnet_n"])
    job = slurm.Job(options)
    with pytest.raises(RuntimeError, match="exit code 2"):
        job()
    assert job.checkpoint().function is job  # requeued, it does the same again


def test_without_submitit_it_says_what_to_install(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "submitit", None)  # importing it fails
    assert run(tmp_path, "--submit") == 2
    assert "pip install submitit" in capsys.readouterr().err

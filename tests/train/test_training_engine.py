"""Runs: they learn, leave a log and checkpoints, and end alike however often they were
interrupted.
"""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from training_helpers import CLASSES, RECIPE, Tiny, data, same, train_on_cpu, tresnet

from tresnet_lite import load_weights
from tresnet_lite.checkout import ROOT
from tresnet_lite.train import (
    Data,
    Interrupted,
    NonFiniteLoss,
    ResumeError,
    TooManyUnreadable,
    evaluate,
    image_folder,
    load_trained,
    make_recipe,
    read_log,
    state,
    trainer,
)
from tresnet_lite.train.engine import duration
from tresnet_lite.train.log import forget_after
from tresnet_lite.train.run_folder import RunFolder
from tresnet_lite.train.trainer import Trainer

STEPS = 8  # two epochs of 36 images in batches of 8


def run(out=None, *, model=None, recipe=RECIPE, **options):
    return train_on_cpu(
        tresnet() if model is None else model, data(), recipe, out=out, **{"tell": None, **options}
    )


def last(out):
    return torch.load(Path(out, "last.pt"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nothing interrupts."""
    out = tmp_path_factory.mktemp("whole")
    told = []
    return run(out, tell=told.append, log_every=3, name="tresnet_m"), out, told


def test_it_learns_what_is_easily_told_apart():
    easy = replace(RECIPE, epochs=8, lr=0.1, autoaugment="off", cutout=0.0, crop_area=1.0)
    result = run(recipe=easy)
    assert result.top1 > 90 and result.top5 == 100 and result.steps == 32 and result.images == 21
    assert result.history[-1]["loss"] < result.history[0]["loss"]
    again = evaluate(result.model, data().test, easy.eval_transform(1))
    assert (again.top1, again.images) == (result.top1, 21)


def test_the_log_and_the_lines(whole):
    result, out, told = whole
    epochs, steps, (start,) = (
        read_log(out),
        read_log(out, "step"),
        read_log(out / "log.jsonl", "start"),
    )
    assert [event["step"] for event in steps] == [3, 4, 6, 8]
    assert [event["step"] for event in epochs] == [4, 8] and epochs == [
        {"event": "epoch", **e} for e in result.history
    ]
    # An epoch's loss is the mean of its steps': of three and of one, then of two and two.
    losses = [event["loss"] for event in steps]
    assert epochs[0]["loss"] == pytest.approx((3 * losses[0] + losses[1]) / 4)
    assert epochs[1]["loss"] == pytest.approx((losses[2] + losses[3]) / 2)
    assert start["recipe"]["lr"] == RECIPE.lr and start["provenance"]["torch"] == torch.__version__
    assert (
        len(told) == 2 and told[0].startswith("epoch 1/2: loss ") and told[1].endswith("0 s left")
    )
    assert sorted(path.name for path in out.iterdir()) == [
        ".lock",
        "best.pt",
        "last.pt",
        "log.jsonl",
    ]


def test_what_the_checkpoints_hold(whole):
    result, out, _ = whole
    assert same(load_weights(tresnet(1), out / "last.pt").state_dict(), result.model.state_dict())
    model, identity = load_trained(out)
    assert same(model.state_dict(), result.model.state_dict()) and not model.training
    assert identity["recipe"]["epochs"] == 2 and identity["model"]["name"] == "tresnet_m"
    best, _ = load_trained(out / "best.pt")
    assert evaluate(best, data().test, RECIPE.eval_transform(1)).top1 == result.best_top1
    # the average is another network
    assert not same(last(out)["training"]["model"], last(out)["model"])


def test_a_finished_run_is_not_trained_again(whole):
    result, out, _ = whole
    before = (out / "last.pt").stat().st_mtime_ns, (out / "log.jsonl").read_bytes()
    again = run(out, name="tresnet_m")
    assert again.history == result.history and same(
        again.model.state_dict(), result.model.state_dict()
    )
    assert ((out / "last.pt").stat().st_mtime_ns, (out / "log.jsonl").read_bytes()) == before


def interrupt(monkeypatch, out, after, **options):
    """Train until a signal comes during a step."""
    step = Trainer.step

    def interrupted(self, parts):
        if self.state.step == after - 1:
            os.kill(os.getpid(), signal.SIGINT)
        return step(self, parts)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", interrupted)
        with pytest.raises(Interrupted, match=f"after step {after} of {STEPS}"):
            run(out, **options)


def timeless(history):
    return [
        {k: v for k, v in epoch.items() if k not in ("seconds", "images_per_second")}
        for epoch in history
    ]


@pytest.mark.parametrize("after", [1, 4, 6])  # in the first epoch, at its end, in the second
def test_interrupted_and_resumed_equals_uninterrupted(whole, tmp_path, monkeypatch, after):
    interrupt(monkeypatch, tmp_path, after, name="tresnet_m")
    torch.manual_seed(99)  # of no consequence
    told = []
    result = run(tmp_path, model=tresnet(5), name="tresnet_m", workers=1, tell=told.append)
    assert told[0].startswith(f"going on after step {after} of {STEPS}")
    assert same(last(tmp_path)["training"]["model"], last(whole[1])["training"]["model"])
    assert same(result.model.state_dict(), whole[0].model.state_dict())  # the moving average
    assert timeless(result.history) == timeless(whole[0].history)


def test_dropout_and_bfloat16_are_resumed_too(tmp_path, monkeypatch):
    recipe = replace(RECIPE, amp="bfloat16")
    uninterrupted = run(model=Tiny(dropout=0.5), recipe=recipe)
    for after in (3, 5):
        interrupt(monkeypatch, tmp_path, after, model=Tiny(dropout=0.5), recipe=recipe)
    result = run(tmp_path, model=Tiny(dropout=0.5), recipe=recipe)
    assert same(result.model.state_dict(), uninterrupted.model.state_dict())
    assert not same(
        result.model.state_dict(), run(model=Tiny(dropout=0.4), recipe=recipe).model.state_dict()
    )


def test_the_loss_scale_of_float16_is_resumed_too(tmp_path, monkeypatch):
    """As on a GPU, with CPU's own float16: too slow and too narrow to train in, but the same
    code.
    """
    for module in (state, trainer):
        monkeypatch.setattr(module, "half_type", lambda recipe, device: torch.float16)
    uninterrupted = run(tmp_path / "a")
    interrupt(monkeypatch, tmp_path / "b", 5)
    result = run(tmp_path / "b")
    assert same(result.model.state_dict(), uninterrupted.model.state_dict())
    scales = [last(tmp_path / name)["training"]["scaler"] for name in "ab"]
    assert scales[0] == scales[1] and scales[0]["_growth_tracker"] + scales[0]["scale"] > 0


KILLED = """
import os, signal, sys
from training_helpers import RECIPE, data, train_on_cpu, tresnet
from tresnet_lite.train.trainer import Trainer

def killed(self, parts, step=Trainer.step):
    if self.state.step == 6:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(self, parts)

Trainer.step = killed
often = {"save_minutes": 0, "tell": None}
train_on_cpu(tresnet(), data(), RECIPE, out=sys.argv[1], name="tresnet_m", **often)
"""


def test_a_killed_run_goes_on(whole, tmp_path):
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT / "tests"), *sys.path]),
    }
    process = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], env=environment)
    assert process.returncode == -signal.SIGKILL
    assert last(tmp_path)["training"]["step"] == 6  # in the second epoch
    run(tmp_path, name="tresnet_m")
    assert same(last(tmp_path)["training"]["model"], last(whole[1])["training"]["model"])
    assert [event["step"] for event in read_log(tmp_path)] == [4, 8]


def test_the_log_forgets_what_is_done_again(tmp_path):
    log = tmp_path / "log.jsonl"
    events = [{"event": "step", "step": step} for step in (3, 6, 9)]
    log.write_text(
        "".join(json.dumps(event) + "\n" for event in events) + '{"event": "st', encoding="utf-8"
    )
    assert read_log(log, "step") == events
    forget_after(log, 6)
    assert [json.loads(line) for line in log.read_text().splitlines()] == events[:2]


def test_another_run_is_refused_and_named(whole, tmp_path):
    _, out, _ = whole
    kept = (out / "last.pt").read_bytes()
    with pytest.raises(ResumeError) as refused:
        run(out, model=tresnet(width=6), recipe=replace(RECIPE, lr=0.01), seed=3, name="tresnet_m")
    for line in (
        "recipe.lr: 0.05 there, 0.01 here",
        "model.config.width: 4 there, 6 here",
        "seed: 0 there, 3 here",
    ):
        assert line in str(refused.value)
    assert "epochs" not in str(refused.value) and (out / "last.pt").read_bytes() == kept
    with pytest.raises(ResumeError, match="data.train: 36 there, 40 here"):
        train_on_cpu(tresnet(), data(train=40), RECIPE, out=out, name="tresnet_m", tell=None)
    (tmp_path / "last.pt").write_bytes(kept[:1000])
    with pytest.raises(ResumeError, match="last.pt cannot be read as a checkpoint"):
        run(tmp_path)
    with pytest.raises(ResumeError, match="there is no checkpoint"):
        load_trained(tmp_path / "other")


def test_two_processes_cannot_train_in_one_folder(tmp_path):
    folder = RunFolder(tmp_path, {})
    with folder.locked(), pytest.raises(ResumeError, match="another process trains in"):
        run(tmp_path)


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_last_good_checkpoint(
    tmp_path, monkeypatch
):
    step = Trainer.step

    def spoilt(self, parts):
        if self.state.step == 5:
            with torch.no_grad():
                self.state.model.head.bias.fill_(float("nan"))
        return step(self, parts)

    monkeypatch.setattr(Trainer, "step", spoilt)
    with pytest.raises(NonFiniteLoss) as stopped:
        run(tmp_path, model=Tiny(), save_minutes=0)
    message = str(stopped.value)
    assert "the loss is nan at step 5, epoch 2, at a learning rate of " in message
    assert "--lr 0.025" in message and f"--init {tmp_path / 'last.pt'}" in message
    kept = last(tmp_path)["training"]
    assert kept["step"] == 5 and all(
        torch.isfinite(value).all() for value in kept["model"].values()
    )


def test_weights_that_are_no_numbers_are_not_saved(tmp_path, monkeypatch):
    step = Trainer.step

    def spoilt(self, parts):
        found = step(self, parts)
        if self.state.step == 6:
            self.state.model.head.bias.data.fill_(float("inf"))
        return found

    monkeypatch.setattr(Trainer, "step", spoilt)
    with pytest.raises(NonFiniteLoss, match="a weight is not a finite number after step 6"):
        run(tmp_path, model=Tiny(), save_minutes=0)
    assert last(tmp_path)["training"]["step"] == 5


@pytest.mark.parametrize(("own", "advice"), [(True, "bfloat16 or off"), (False, "off")])
def test_bfloat16_is_advised_where_the_gpu_has_it(monkeypatch, own, advice):
    for module in (state, trainer):
        monkeypatch.setattr(module, "half_type", lambda recipe, device: torch.float16)
    supported = lambda including_emulation=True: own or including_emulation  # noqa: E731
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    step = Trainer.step
    monkeypatch.setattr(Trainer, "step", lambda *given: torch.full_like(step(*given), torch.nan))
    with pytest.raises(NonFiniteLoss, match=f", --amp {advice}[.]"):
        run()


@pytest.mark.parametrize("amp", ["off", "bfloat16"])
def test_parts_add_up_to_the_batch(amp):
    """Without norms a step in two parts is the step in one, to rounding."""
    recipe = replace(RECIPE, amp=amp)
    models = [
        run(model=Tiny(norm=False), recipe=recipe, accumulate=parts).model for parts in (1, 2, 4)
    ]
    tolerance = 1e-10 if amp == "off" else 0.02
    for model in models[1:]:
        for one, other in zip(models[0].parameters(), model.parameters(), strict=True):
            torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)


def test_broken_images_stop_a_run_over_the_limit(tmp_path):
    for number in range(24):
        path = tmp_path / CLASSES[number % 3] / f"{number:02}.png"
        path.parent.mkdir(exist_ok=True)
        Image.new("L", (20, 20), number * 10).save(path)
        if number < 3:
            path.write_bytes(b"broken")
    images = image_folder(tmp_path)
    found = Data("broken", images, images, CLASSES, channels=1)
    told = []
    result = train_on_cpu(Tiny(), found, RECIPE, unreadable=3, tell=told.append)
    assert result.images == 21 and sum("skipped, cannot be read" in line for line in told) == 3
    with pytest.raises(TooManyUnreadable, match="3 images cannot be read, more than the 2"):
        train_on_cpu(Tiny(), found, RECIPE, unreadable=2, tell=None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"accumulate": 3}, "a batch of 8 does not split into 1 processes × 3 parts: take 6 or 9"),
        (
            {"recipe": replace(RECIPE, batch=64)},
            "scans has 36 training images, less than a batch of 64",
        ),
        (
            {"recipe": make_recipe("digits", size=20, batch=8, amp="float16")},
            "a CPU does not train in",
        ),
    ],
)
def test_settings_that_do_not_fit(options, message):
    with pytest.raises(ValueError, match=message):
        run(**options)


def test_a_network_for_other_images_is_refused():
    with pytest.raises(ValueError, match="the network is for 3 classes, scans has 2"):
        train_on_cpu(tresnet(), replace(data(), classes=("a", "b")), RECIPE, tell=None)
    with pytest.raises(ValueError, match="the network is for 1 channels, scans has 3"):
        train_on_cpu(tresnet(), replace(data(), channels=3), RECIPE, tell=None)


def test_tensorboard_gets_the_numbers_of_the_log(tmp_path, monkeypatch):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    interrupt(monkeypatch, tmp_path, 4, model=Tiny(), tensorboard=True)  # an epoch is over
    result = run(tmp_path, model=Tiny(), tensorboard=True)
    board = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    found = [(event.step, event.value) for event in board.Scalars("epoch/top1")]
    assert found == [
        (epoch["step"], pytest.approx(epoch["top1"], rel=1e-6)) for epoch in result.history
    ]


def test_durations():
    assert [duration(s) for s in (0.4, 89, 120, 5399, 5400 * 2)] == [
        "0 s",
        "89 s",
        "2 min",
        "90 min",
        "3.0 h",
    ]

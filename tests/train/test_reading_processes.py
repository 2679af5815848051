"""Processes that read images and die: the run or the evaluation says in a line what helps."""

import multiprocessing
import os
import signal

import pytest
import torch
from torch.utils.data import Dataset
from training_helpers import CLASSES, RECIPE, data, scans, tresnet

from tresnet_lite.evaluate import Photographs, Subject, predict
from tresnet_lite.train import Data, TooManyUnreadable, evaluate, train
from tresnet_lite.train import __main__ as command
from tresnet_lite.train.data import NAMED
from tresnet_lite.train.reading import ReaderLost, watching_readers

LINE = r"killed.*--workers 2.*--workers 0.*--shm-size.*PyTorch says: \w+Error: "


class Deadly(Dataset):
    """The process that reads one of the images is killed, as by a system without memory."""

    def __init__(self, count=24, deadly=20):
        self.images, self.deadly, self.owner = scans(count), deadly, os.getpid()

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        if index == self.deadly and os.getpid() != self.owner:
            os.kill(os.getpid(), signal.SIGKILL)
        return self.images[index]


class Unreadable(Dataset):
    def __len__(self):
        return 24

    def __getitem__(self, index):
        raise OSError(f"no image {index}")


def of(images):
    return Data("images", images, scans(12, seed=1), CLASSES, channels=1)


@pytest.mark.parametrize("name", ["a run", "its evaluation", "an evaluation"])
def test_a_killed_reading_process_is_one_line(tmp_path, name):
    ways = {"device": "cpu", "workers": 1}
    with pytest.raises(ReaderLost, match=LINE) as lost:
        if name == "a run":
            train(tresnet(), of(Deadly()), RECIPE, out=tmp_path, tell=None, **ways)
        elif name == "its evaluation":
            evaluate(tresnet(), Deadly(), RECIPE.eval_transform(1), **ways)
        else:
            settings = (len(CLASSES), 1, RECIPE.size, True, RECIPE.eval_transform(1))
            images = Photographs(Deadly(), "images", 1, "x")
            predict(Subject("small", tresnet(), *settings), images, tmp_path, batch=8, **ways)
    assert "\n" not in str(lost.value)


def test_the_same_run_goes_on_without_reading_processes(tmp_path):
    """What was lost is the start, not the run: in this process the image is an image."""
    whole = train(tresnet(), data(), RECIPE, tell=None, device="cpu")
    images = Deadly(36, deadly=30)
    ways = {"out": tmp_path, "tell": None, "device": "cpu", "save_minutes": 0}
    with pytest.raises(ReaderLost):
        train(tresnet(), of(images), RECIPE, workers=1, **ways)
    rest = train(tresnet(), of(images), RECIPE, workers=0, **ways)
    pairs = zip(whole.model.parameters(), rest.model.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


def test_the_command_ends_with_that_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(NAMED, "digits", lambda _: of(Deadly()))
    network = ["--width", "4", "--depths", "1,1,1,1", "--size", "20", "--device", "cpu"]
    arguments = [*network, "--epochs", "1", "--batch", "8"]
    arguments += ["--no-tensorboard", "--workers", "1", "--out", str(tmp_path)]
    assert command.main(arguments) == 1
    error = capsys.readouterr().err
    assert error.startswith("stopped: a process that reads images was killed")
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize("workers", [0, 1])
def test_what_a_reading_process_raises_comes_without_its_traceback(workers):
    with pytest.raises(TooManyUnreadable) as stopped:
        train(tresnet(), of(Unreadable()), RECIPE, workers=workers, tell=None, device="cpu")
    said = str(stopped.value)
    assert said.startswith("20 images in a row cannot be read, such as image ") and "\n" not in said


@pytest.mark.parametrize(
    "words",
    [
        "unable to write to file </torch_12_34>: No space left on device (28)",
        "unable to open shared memory object </torch_1> in read-write mode",
        "received 0 items of ancdata",
    ],
)
def test_other_words_for_too_little_memory(words):
    with pytest.raises(ReaderLost, match="--workers 0"), watching_readers():
        raise RuntimeError(words)


def test_other_errors_pass():
    with pytest.raises(RuntimeError, match="^a network's own$"), watching_readers():
        raise RuntimeError("a network's own")
    with pytest.raises(ConnectionError, match="^a data set's$"), watching_readers():
        raise ConnectionError("a data set's")


def test_a_message_that_is_cut_off_is_a_lost_process():
    """As a killed process leaves it, which PyTorch may notice later, or not at all."""
    reader, writer = multiprocessing.Pipe(duplex=False)
    writer.close()
    with pytest.raises(ReaderLost, match="PyTorch says: EOFError"), watching_readers():
        reader.recv()

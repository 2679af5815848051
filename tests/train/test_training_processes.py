"""Two gloo processes train and evaluate as one does on the joined batch, in double precision."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import distributed, nn
from torch.multiprocessing import spawn
from training_helpers import RECIPE, Tiny, data, same, train_on_cpu

from tresnet_lite.train import evaluate, processes
from tresnet_lite.train.trainer import join_norms

PROCESSES = 2
CASES = {  # a network's options and the run's
    "joined norms": ({}, {"synchronise": True}),
    "parts": ({"norm": False}, {"accumulate": 2}),
}


class Broken:
    """A data set with an image that cannot be read."""

    def __init__(self, images, index):
        self.images, self.index = images, index

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        if index == self.index:
            raise OSError("broken")
        return self.images[index]


def scores(model):
    return evaluate(model, Broken(data(test=21).test, 4), RECIPE.eval_transform(1), batch=4)


def work(rank, folder):
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=PROCESSES
    )
    found = {}
    for case, (network, options) in CASES.items():
        told = []
        result = train_on_cpu(
            Tiny(**network), data(), RECIPE, out=f"{folder}/{case}", tell=told.append, **options
        )
        found[case] = {
            "model": result.model.state_dict(),
            "top1": result.top1,
            "images": result.images,
            "told": told,
        }
        found[case]["history"] = result.history
    found["scores"] = vars(scores(Tiny()))
    torch.save(found, f"{folder}/{rank}.pt")
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gloo")
    spawn(work, (str(folder),), nprocs=PROCESSES)
    return folder, [torch.load(folder / f"{rank}.pt") for rank in range(PROCESSES)]


@pytest.mark.parametrize("case", CASES)
def test_two_processes_equal_one_with_the_joined_batch(ranks, case):
    alone = train_on_cpu(Tiny(**CASES[case][0]), data(), RECIPE, tell=None)
    for rank in ranks[1]:
        found = rank[case]
        assert (found["top1"], found["images"]) == (alone.top1, 21)
        for key, value in alone.model.state_dict().items():
            torch.testing.assert_close(found["model"][key], value, rtol=1e-9, atol=1e-11)
        for ours, theirs in zip(alone.history, found["history"], strict=True):
            assert theirs["loss"] == pytest.approx(ours["loss"], rel=1e-9)
            assert theirs["train_top1"] == pytest.approx(ours["train_top1"])
    assert same(ranks[1][0][case]["model"], ranks[1][1][case]["model"])


def test_the_first_process_alone_writes_and_tells(ranks):
    folder, (first, second) = ranks
    assert len(first["parts"]["told"]) == RECIPE.epochs and second["parts"]["told"] == []
    assert sorted(p.name for p in Path(folder, "parts").iterdir()) == [
        ".lock",
        "best.pt",
        "last.pt",
        "log.jsonl",
    ]


def test_a_run_of_two_processes_is_finished_by_one(ranks):
    folder, (first, _) = ranks
    result = train_on_cpu(Tiny(norm=False), data(), RECIPE, out=folder / "parts", tell=None)
    assert same(result.model.state_dict(), first["parts"]["model"])


def test_every_readable_image_is_counted_once(ranks):
    expected = scores(Tiny())
    assert expected.images == 20
    for rank in ranks[1]:
        assert rank["scores"]["images"] == 20 and rank["scores"]["top1"] == expected.top1
        # summed in float32 by batches
        assert rank["scores"]["loss"] == pytest.approx(expected.loss, rel=1e-6)


@pytest.mark.parametrize(
    ("device", "gpu"), [("cuda:1", [torch.device("cuda:1")]), ("cuda", []), ("cpu", [])]
)
def test_a_gpu_that_is_named_is_the_current_one(monkeypatch, device, gpu):
    """Else what asks for "the GPU", random numbers for one, would mean the first."""
    current = []
    monkeypatch.setattr(processes, "find_device", torch.device)
    monkeypatch.setattr(torch.cuda, "set_device", current.append)
    with processes.joined(device) as place:
        assert place == torch.device(device) and current == gpu


def test_batchnorm_cannot_be_joined_on_a_cpu():
    with pytest.raises(ValueError, match="take a network with Inplace-ABN, or a GPU"):
        join_norms(nn.Sequential(nn.BatchNorm2d(3)), torch.device("cpu"))


def test_synchronising_one_process_changes_nothing():
    recipe = replace(RECIPE, epochs=1)
    one, other = (
        train_on_cpu(Tiny(), data(), recipe, tell=None, synchronise=flag) for flag in (False, True)
    )
    assert same(one.model.state_dict(), other.model.state_dict())

"""Two gloo processes with synchronised norms equal one on the joined batch: the whole network,
fused ends too.
"""

import copy

import pytest
import torch
from helpers import images, relative_error, reseed
from torch import distributed, nn
from torch.multiprocessing import spawn

from tresnet_lite import create_model
from tresnet_lite.layers import synchronise_norms

MEMORY = ["lean", "recompute", "min"]
SPLIT = [1, 3]  # images in each process


def narrow(memory):
    options = {"width": 8, "depths": (1, 1, 1, 1), "num_classes": 10}
    return reseed(create_model("tresnet_m", memory=memory, **options)).double().train()


def total_loss(logits, images_of_this_process):
    weighting = images(sum(SPLIT), 10, seed=3, dtype=torch.float64)
    return (logits * weighting[images_of_this_process]).sum()


def work(rank, folder):
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=len(SPLIT)
    )
    mine = slice(0, SPLIT[0]) if rank == 0 else slice(SPLIT[0], sum(SPLIT))
    results = {}
    for memory in MEMORY:
        model = nn.parallel.DistributedDataParallel(synchronise_norms(narrow(memory)))
        logits = model(images(sum(SPLIT), 3, 64, 64, dtype=torch.float64)[mine])
        (
            total_loss(logits, mine) * len(SPLIT)
        ).backward()  # DDP takes the mean over processes, the loss is a sum
        copied = copy.deepcopy(model.module)
        results[memory] = {
            "logits": logits.detach(),
            **{name: p.grad for name, p in model.module.named_parameters()},
            **dict(copied.named_buffers()),
        }
    torch.save(results, f"{folder}/{rank}.pt")
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gloo")
    spawn(work, (str(folder),), nprocs=len(SPLIT))
    return [torch.load(folder / f"{rank}.pt") for rank in range(len(SPLIT))]


@pytest.mark.parametrize("memory", MEMORY)
def test_two_processes_equal_one(ranks, memory):
    model = narrow(memory)
    logits = model(images(sum(SPLIT), 3, 64, 64, dtype=torch.float64))
    total_loss(logits, slice(None)).backward()
    assert relative_error(torch.cat([result[memory]["logits"] for result in ranks]), logits) < 1e-10
    for result in ranks:
        for name, parameter in model.named_parameters():
            assert relative_error(result[memory][name], parameter.grad) < 1e-9, name
        for name, buffer in model.named_buffers():
            torch.testing.assert_close(result[memory][name], buffer, rtol=1e-10, atol=1e-12)


def test_without_processes_it_says_so():
    with pytest.raises(RuntimeError, match="init_process_group"):
        synchronise_norms(narrow("lean"))

"""Synchronised Inplace-ABN: two gloo processes on the halves of a batch against one process on all
of it.
"""

import copy
from pathlib import Path

import pytest
import torch
from torch import distributed, nn
from torch.multiprocessing import spawn
from torch.nn.parallel import DistributedDataParallel

from tresnet_lite.layers import InPlaceABN, InPlaceABNSync
from tresnet_lite.layers.inplace_abn import ACTIVATIONS

SPLIT = [3, 5]  # samples in each process
WEIGHTS = [1.0, -0.7, 0.0, 1e-4]
CASES = [(activation, torch.float64) for activation in ACTIVATIONS] + [
    ("leaky_relu", torch.float32)
]


def norm(kind: type[InPlaceABN], activation: str, dtype: torch.dtype, **options) -> InPlaceABN:
    abn = kind(len(WEIGHTS), activation=activation, weight_sign="signed", **options).to(dtype)
    with torch.no_grad():
        abn.weight.copy_(torch.tensor(WEIGHTS))
        abn.bias.copy_(torch.linspace(-0.5, 0.5, len(WEIGHTS)))
    return abn


def data(dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """x and dy of the joined batch; the mean is so large that sums of squares in float32 would lose
    the variance.
    """
    generator = torch.Generator().manual_seed(0)
    x, dy = torch.randn(2, sum(SPLIT), len(WEIGHTS), 4, 4, generator=generator, dtype=torch.float64)
    return (x + 1000).to(dtype), dy.to(dtype)


def step(abn: InPlaceABN, x: torch.Tensor, dy: torch.Tensor) -> dict[str, torch.Tensor]:
    y = abn(x.requires_grad_())
    dx, dweight, dbias = torch.autograd.grad(y, (x, abn.weight, abn.bias), dy)
    running = {"running_mean": abn.running_mean, "running_var": abn.running_var}
    return {"y": y.detach(), "dx": dx, "dweight": dweight, "dbias": dbias, **running}


def net(kind: type[InPlaceABN]) -> nn.Module:
    torch.manual_seed(0)
    conv = nn.Conv2d(4, 4, 3)
    return nn.Sequential(conv, norm(kind, "leaky_relu", torch.float32), nn.Conv2d(4, 4, 1)).double()


def loss(model: nn.Module, x: torch.Tensor, samples: int) -> torch.Tensor:
    return model(x - 1000).square().mean((1, 2, 3)).sum() / samples


def work(rank: int, folder: str) -> None:
    """One process: each case, one sample a process, and a step of DistributedDataParallel."""
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=len(SPLIT)
    )
    results = {}
    for activation, dtype in CASES:
        x, dy = (t.split(SPLIT)[rank].clone() for t in data(dtype))
        results[activation, dtype] = step(norm(InPlaceABNSync, activation, dtype), x, dy)
    x, _ = data(torch.float64)
    group = distributed.new_group([0, 1])
    given = copy.deepcopy(norm(InPlaceABN, "leaky_relu", torch.float64, group=group))
    results["single"] = given(x[rank : rank + 1, :, :1, :1])
    ddp = DistributedDataParallel(net(InPlaceABNSync))
    # DDP takes the mean over processes: this loss makes that the mean over the joined batch.
    (loss(ddp, x.split(SPLIT)[rank], sum(SPLIT)) * len(SPLIT)).backward()
    results["ddp"] = [p.grad for p in ddp.parameters()]
    torch.save(results, Path(folder) / f"{rank}.pt")
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def ranks(tmp_path_factory) -> list[dict]:
    folder = tmp_path_factory.mktemp("gloo")
    spawn(work, (str(folder),), nprocs=len(SPLIT))
    return [torch.load(folder / f"{rank}.pt") for rank in range(len(SPLIT))]


@pytest.mark.parametrize(("activation", "dtype"), CASES)
def test_two_processes_equal_one_on_the_joined_batch(ranks, activation, dtype):
    x, dy = data(dtype)
    expected = step(norm(InPlaceABN, activation, dtype), x, dy)
    parts = [rank[activation, dtype] for rank in ranks]
    got = {key: torch.cat([part[key] for part in parts]) for key in ("y", "dx")}
    got |= {key: sum(part[key] for part in parts) for key in ("dweight", "dbias")}
    # Subtracting a mean of 1000 leaves 1000 u of x's digits.
    tolerance = 1000 * 16 * torch.finfo(dtype).eps
    for key, value in got.items():
        torch.testing.assert_close(
            value, expected[key], rtol=tolerance, atol=tolerance, msg=lambda m, k=key: f"{k}: {m}"
        )
    for part in parts:
        for key in ("running_mean", "running_var"):
            torch.testing.assert_close(part[key], expected[key], rtol=tolerance, atol=tolerance)


def test_a_given_group_and_one_value_a_process(ranks):
    x, _ = data(torch.float64)
    expected = norm(InPlaceABN, "leaky_relu", torch.float64)(x[:2, :, :1, :1])
    torch.testing.assert_close(
        torch.cat([rank["single"] for rank in ranks]), expected, rtol=1e-10, atol=1e-10
    )


def test_a_step_under_distributed_data_parallel(ranks):
    model = net(InPlaceABN)
    loss(model, data(torch.float64)[0], sum(SPLIT)).backward()
    for rank in ranks:
        for got, parameter in zip(rank["ddp"], model.parameters(), strict=True):
            torch.testing.assert_close(got, parameter.grad, rtol=1e-9, atol=1e-11)

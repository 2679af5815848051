"""Compiled, exported, in ONNX, and over two processes."""

import socket

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from helpers import images, relative_error, reseed
from torch import nn

from tresnet_lite import create_model, to_batchnorm

NARROW = {"width": 8, "depths": (1, 1, 1, 1), "num_classes": 10}


def narrow(**options):
    return reseed(create_model("tresnet_m", **{**NARROW, **options})).eval()


@pytest.mark.parametrize("norm", ["iabn", "bn"])
def test_compiles_in_one_graph_in_eval(norm):
    torch._dynamo.reset()
    model, x = narrow(norm=norm), images(2, 3, 64, 64)
    with torch.no_grad():
        compiled = torch.compile(model, fullgraph=True)(x)
        assert relative_error(compiled, model(x)) < 1e-5


@pytest.mark.parametrize("norm", ["iabn", "bn"])
def test_exports(norm):
    model = narrow(norm=norm)
    batch = torch.export.Dim("batch", min=1, max=64)
    program = torch.export.export(model, (images(2, 3, 64, 64),), dynamic_shapes={"x": {0: batch}})
    x = images(5, 3, 64, 64, seed=2)
    with torch.no_grad():
        assert relative_error(program.module()(x), model(x)) < 1e-6


def test_onnx_from_the_batchnorm_model(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    model, x = narrow(), images(2, 3, 64, 64)
    torch.onnx.export(
        to_batchnorm(model), (x,), tmp_path / "tresnet.onnx", dynamo=True, verbose=False
    )
    session = onnxruntime.InferenceSession(
        tmp_path / "tresnet.onnx", providers=["CPUExecutionProvider"]
    )
    (logits,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    with torch.no_grad():
        assert relative_error(torch.from_numpy(logits), model(x)) < 1e-4


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def local_gradients(model, x):
    model.zero_grad()
    model(x).square().mean().backward()
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters()}


def ddp_step(rank, port, folder):
    """One backward of half of the batch; the averaged gradients go to a file."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    model = nn.parallel.DistributedDataParallel(narrow().double().train())
    model(halves()[rank]).square().mean().backward()
    torch.save({name: p.grad for name, p in model.module.named_parameters()}, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def halves():
    return images(4, 3, 32, 32, dtype=torch.float64).chunk(2)


def test_two_processes_average_their_gradients(tmp_path):
    mp.spawn(ddp_step, (free_port(), str(tmp_path)), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    expected = [local_gradients(narrow().double().train(), half) for half in halves()]
    for name in first:
        assert torch.equal(first[name], second[name])
        mean = (expected[0][name] + expected[1][name]) / 2
        torch.testing.assert_close(first[name], mean, rtol=1e-9, atol=1e-12)

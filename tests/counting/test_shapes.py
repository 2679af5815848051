"""The short way to shapes against torch's own rules, and against operations that really run."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tresnet_lite import create_model
from tresnet_lite.counting import count_macs
from tresnet_lite.counting.kept import bytes_per_image
from tresnet_lite.counting.shapes import PlainShapes

LAYOUTS = {"channels first": torch.contiguous_format, "channels last": torch.channels_last}
DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]


def described(tensors) -> list:
    return [(t.shape, t.dtype, t.stride()) for t in tensors]


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_batch_norms_shapes_are_torchs(dtype, layout):
    x = torch.empty(2, 5, 4, 3, device="meta", dtype=dtype).contiguous(memory_format=layout)
    for training, own in itertools.product((True, False), (dtype, torch.float32)):
        affine, running = (torch.empty(2, 5, device="meta", dtype=own) for _ in range(2))
        arguments = (*affine, *running, training, 0.1, 1e-5)
        expected = described(torch.native_batch_norm(x, *arguments))
        with PlainShapes():
            assert described(torch.native_batch_norm(x, *arguments)) == expected


@pytest.mark.parametrize("activation", [F.leaky_relu_, F.relu_, F.elu_])
def test_activations_in_place_give_their_own_input(activation):
    x = torch.empty(2, 3, device="meta")
    with PlainShapes():
        assert activation(x) is x


def test_real_tensors_are_computed():
    x = torch.randn(4, 3, 2, 2)
    expected = F.leaky_relu(nn.BatchNorm2d(3)(x))
    with PlainShapes():
        assert torch.equal(F.leaky_relu_(nn.BatchNorm2d(3)(x)), expected)


@pytest.mark.parametrize("memory", ["paper", "lean", "recompute", "min"])
@pytest.mark.parametrize("norm", ["bn", "iabn"])
def test_counts_are_those_of_torchs_rules(norm, memory, monkeypatch):
    options = {"norm": norm, "memory": memory, "depths": (1, 1, 2, 1), "activation": "leaky_relu"}

    def counts() -> tuple:
        with torch.device("meta"):
            model = create_model("tresnet_m", **options).bfloat16()
            images = {"dtype": torch.bfloat16, "device": "meta"}
            kept = bytes_per_image(model.train(), lambda n: torch.empty(n, 3, 64, 64, **images))
        return count_macs(model, (3, 64, 64)), kept

    short = counts()
    monkeypatch.setattr(
        PlainShapes, "__torch_dispatch__", lambda self, f, types, a=(), k=None: f(*a, **(k or {}))
    )
    assert counts() == short

"""Accounting of memory: against sizes worked out by hand, the facts known of the networks, and the
targets.
"""

import pytest
import torch
from torch import nn

from tresnet_lite import create_model
from tresnet_lite.bench.peak import peak_memory, training_peak
from tresnet_lite.counting.kept import bytes_per_image, kept_for_backward, kept_mb

MIB = 2**20


def test_storages_count_once_and_parameters_not():
    """A linear layer keeps its input, ReLU its output, which is the next layer's input."""
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
    kept = kept_for_backward(model, torch.randn(32, 8))
    assert [(k.module, k.kind, k.shape, k.bytes) for k in kept] == [
        ("0", "Linear", (32, 8), 32 * 8 * 4),
        ("1", "ReLU", (32, 16), 32 * 16 * 4),
    ]


def test_the_slope_leaves_out_what_is_kept_once():
    model = nn.Linear(8, 16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        total = bytes_per_image(nn.Sequential(model), lambda b: torch.randn(b, 8))
    assert total == {("0", "Linear"): 8 * 2}


@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize(("dtype", "size"), [(torch.float32, 4), (torch.bfloat16, 2)])
def test_megabytes_of_an_image_in_the_networks_own_dtype(device, dtype, size):
    """A convolution keeps its input, (3, 10, 20); ReLU its output, (5, 10, 20)."""
    chain = nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.ReLU()).to(device, dtype).eval()
    assert kept_mb(chain, (3, 10, 20)) == size * (3 + 5) * 200 / 1e6


def meta_bytes(name, dtype, **options):
    with torch.device("meta"):
        model = create_model(name, **options).to(dtype).train()
        kept = bytes_per_image(model, lambda batch: torch.empty(batch, 3, 224, 224, dtype=dtype))
    return sum(kept.values())


@pytest.mark.parametrize(
    ("name", "options", "mib"),
    [
        ("resnet50", {}, 82.0),
        ("tresnet_m", {"norm": "bn", "memory": "paper"}, 63.6),
        ("tresnet_l", {"norm": "bn", "memory": "paper"}, 103.0),
        ("tresnet_xl", {"norm": "bn", "memory": "paper"}, 131.8),
        ("tresnet_m", {"memory": "paper"}, 47.5),
        ("tresnet_l", {"memory": "paper"}, 77.9),
        ("tresnet_xl", {"memory": "paper"}, 101.5),
    ],
)
def test_what_training_keeps_in_float32(name, options, mib):
    """MiB an image at 224 px, found by others with hooks of their own."""
    assert meta_bytes(name, torch.float32, **options) / MIB == pytest.approx(mib, rel=2e-3)


@pytest.mark.parametrize(
    ("memory", "target"), [("paper", 1.75), ("lean", 1.95), ("recompute", 2.5), ("min", 5.5)]
)
def test_resnet50_keeps_this_many_times_more_in_bfloat16(memory, target):
    assert (
        meta_bytes("resnet50", torch.bfloat16)
        / meta_bytes("tresnet_m", torch.bfloat16, memory=memory)
        >= target
    )


def test_meta_counts_what_a_real_forward_keeps():
    options = {"width": 8, "depths": (1, 1, 1, 1), "num_classes": 4}
    real = create_model("tresnet_m", **options)
    with torch.device("meta"):
        meta = create_model("tresnet_m", **options)
        expected = bytes_per_image(meta, lambda batch: torch.empty(batch, 3, 64, 64))
    assert bytes_per_image(real, lambda batch: torch.rand(batch, 3, 64, 64)) == expected
    assert {stage for stage, _ in expected} == {
        "stem",
        "layer1",
        "layer2",
        "layer3",
        "layer4",
        "head",
    }


def test_peak_memory_of_known_allocations():
    def step():
        first = torch.empty(1000, 1000)  # 4 MB
        second = torch.empty(500, 1000)  # 2 MB
        del first
        third = torch.empty(250, 1000)  # 1 MB
        return second, third

    assert peak_memory(step) == 6_000_000


def test_a_training_peak_is_the_same_whenever_it_is_taken():
    """Of a layer whose weights dwarf all else: the gradients are the peak, and neither a first
    step's leftovers nor what an earlier profile saw allocated count against them."""
    layer = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 1000, bias=False))
    images = torch.rand(2, 3, 32, 32)
    first, second = (training_peak(layer, images) for _ in range(2))
    weights = layer[1].weight.nbytes
    assert first == second
    # besides the gradients, 2000 outputs a few times over
    assert weights <= first <= 1.01 * weights

"""Times by stage and by operation account for the network that they take apart."""

import pytest
import torch
from torch import nn

from tresnet_lite import create_model
from tresnet_lite.bench.where import operation_times, stage_times, stages

SMALL = {"width": 8, "depths": (1, 1, 1, 1), "num_classes": 4}
QUICK = {"min_block": 5e-3, "min_repeats": 3, "max_seconds": 0.01}


@pytest.mark.parametrize("name", ["tresnet_m", "resnet50"])
def test_the_stages_one_after_the_other_are_the_network(name):
    network = create_model(name, **SMALL).eval()
    images = torch.rand(2, 3, 64, 64)
    parts = stages(network)
    assert list(parts) == ["stem", "layer1", "layer2", "layer3", "layer4", "head"]
    assert torch.equal(nn.Sequential(*parts.values())(images), network(images))
    ours = {id(p) for part in parts.values() for p in part.parameters()}
    assert ours == {id(p) for p in network.parameters()}


@pytest.mark.parametrize("phase", ["inference", "training"])
def test_every_stage_is_timed(phase):
    times = stage_times(
        create_model("tresnet_m", **SMALL), torch.rand(2, 3, 64, 64), phase=phase, **QUICK
    )
    assert list(times) == ["stem", "layer1", "layer2", "layer3", "layer4", "head"]
    assert all(0 < t.q1 <= t.median <= t.q3 for t in times.values())


def test_operations_are_told_apart_by_name():
    x, w = torch.rand(128, 128), torch.rand(128, 128)
    times = operation_times(lambda: (x @ w).relu_().exp(), "cpu", repeats=3, least=0.0)
    assert {"aten::mm", "aten::exp"} <= set(times)
    assert all(t.repeats == 3 and 0 < t.q1 <= t.median <= t.q3 for t in times.values())
    everything = operation_times(lambda: x @ w, "cpu", repeats=3, least=1.1)
    assert list(everything) == ["others"]
    with pytest.raises(ValueError, match="at least 3"):
        operation_times(lambda: None, "cpu", repeats=2)

"""What modules take and give, in the order of their calls, from a network left as it was."""

import pytest
import torch
from torch import nn

from tresnet_lite import create_model
from tresnet_lite.counting.trace import Call, trace


class Branching(nn.Module):
    """One module called twice, one never, and one that gives a pair."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.unused = nn.Conv2d(3, 3, 1)
        self.pool = nn.MaxPool2d(2, return_indices=True)
        self.linear = nn.Linear(3, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y, _ = self.pool(self.conv(self.conv(x)))
        return self.linear(y.mean((2, 3)))


def test_calls_stand_in_the_order_in_which_they_end():
    model = Branching()
    conv = Call("conv", model.conv, (3, 8, 6), (3, 8, 6))
    linear = Call("linear", model.linear, (3,), (5,))
    assert trace(model, (3, 8, 6)) == [conv, conv, linear, Call("", model, (3, 8, 6), (5,))]


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_a_network_is_traced_wherever_it_is(device):
    with torch.device(device):
        network = create_model("tresnet_m", width=8, depths=(1, 1, 1, 1), num_classes=4)
    outputs = {call.path: call.output for call in trace(network, (3, 64, 96))}
    assert outputs["body.s2d"] == (48, 16, 24) and outputs["body.layer4"] == (256, 2, 3)
    assert outputs[""] == outputs["head.fc"] == (4,)


def test_the_model_is_left_as_it_was():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout())
    model[1].eval()
    trace(model, (3, 8, 8))
    with pytest.raises(RuntimeError):
        trace(model, (5, 8, 8))  # too many channels
    assert [m.training for m in model] == [True, False, True] and model.training
    assert not any(m._forward_hooks for m in model.modules())
    assert torch.equal(model[1].running_mean, torch.zeros(4))


def test_half_precision_is_traced_in_half_precision():
    seen = []
    model = nn.Sequential(nn.Conv2d(3, 4, 1)).bfloat16()
    model.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].dtype))
    assert trace(model, (3, 2, 2))[-1].output == (4, 2, 2) and seen == [torch.bfloat16]

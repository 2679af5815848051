"""Table 4's ladder: its ends, its order, what each rung changes, and that each trains."""

from dataclasses import asdict, replace

import pytest
import torch
from helpers import images

from tresnet_lite import TResNet, ablation_ladder
from tresnet_lite.counting import count_macs, count_parameters
from tresnet_lite.model import VARIANTS

LADDER = ablation_ladder()


def test_the_ends():
    assert next(iter(LADDER.values())) == VARIANTS["resnet50"]
    assert list(LADDER.values())[-1] == VARIANTS["tresnet_m"]


def test_each_rung_changes_what_its_label_says():
    rungs = [asdict(config) for config in LADDER.values()]
    changes = [
        {key for key in after if after[key] != before[key]}
        for before, after in zip(rungs, rungs[1:], strict=False)
    ]
    assert changes == [
        {"stem"},
        {"blocks", "depths"},
        {"norm", "activation"},
        {"se"},
        {"antialias", "shortcut"},
    ]


def test_anti_aliasing_and_its_shortcut_add_no_parameters_and_shortcuts_no_macs():
    *_, before, after = LADDER.values()
    with torch.device("meta"):
        without, strided, full = (
            TResNet(before),
            TResNet(replace(after, shortcut="strided")),
            TResNet(after),
        )
    assert count_parameters(without) == count_parameters(full) == 31_389_032
    assert (
        count_macs(strided, (3, 224, 224))
        == count_macs(full, (3, 224, 224))
        > count_macs(without, (3, 224, 224))
    )


@pytest.mark.parametrize("label", LADDER)
def test_every_rung_trains_a_step(label):
    torch.manual_seed(0)
    model = TResNet(replace(LADDER[label], width=16), num_classes=4)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    x, target = images(4, 3, 64, 64), torch.arange(4)
    losses = []
    for _ in range(2):
        loss = torch.nn.functional.cross_entropy(model(x), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert all(p.grad is not None for p in model.parameters())
    assert losses[1] < losses[0]

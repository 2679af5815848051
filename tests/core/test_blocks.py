"""The blocks compute the formula that their forward states, and call what is more than plain."""

import copy

import pytest
import torch
from helpers import images, reseed
from torch import nn
from torch.nn.modules.module import register_module_forward_hook
from torch.nn.utils import parametrizations, prune

from tresnet_lite import TResNetConfig
from tresnet_lite.layers import InPlaceABN
from tresnet_lite.layers.plain import is_plain
from tresnet_lite.model import BasicBlock, Bottleneck

BLOCKS = [BasicBlock, Bottleneck]
MEMORY = ["paper", "lean", "recompute", "min"]
PARTS = ["conv", "bn", "unit", "se", "fc1", "squeeze", "act"]
# float64 through a block's operations, each wrong by 1e-16 of a sum of some hundred terms
EXACT = 1e-12


def make_block(kind, **options):
    """A block (B, 16, H, W) → (B, 16, H, W) in training, with random weights."""
    torch.manual_seed(0)
    block = kind(16, 16 // kind.expansion, 1, True, TResNetConfig(**options))
    return reseed(block).double()


def last_unit(block):
    return block.conv2 if isinstance(block, BasicBlock) else block.conv3


def batch(seed=1):
    return images(3, 16, 6, 5, seed=seed, dtype=torch.float64)


def forward(block, x):
    return block(x)


def formula(block, x):
    """The block's output, from its modules called one by one."""
    shortcut, unit = block.downsample(x), last_unit(block)
    if isinstance(block, BasicBlock):
        x = block.se(unit.act(unit.bn(unit.conv(block.conv1(x)))))
    else:
        x = unit.act(unit.bn(unit.conv(block.se(block.conv2(block.conv1(x))))))
    return block.act(x + shortcut)


def results(function, block):
    """Output, gradients and buffers."""
    x = batch().requires_grad_()
    y = function(block, x)
    (y * batch(seed=2)).sum().backward()
    gradients = {name: p.grad for name, p in block.named_parameters()}
    return {"y": y.detach(), "x": x.grad, **gradients, **dict(block.named_buffers())}


def assert_formula(make):
    """What `make` builds has the formula's output, gradients and running statistics."""
    block_results, expected = results(forward, make()), results(formula, make())
    for name, value in block_results.items():
        torch.testing.assert_close(value, expected[name], rtol=EXACT, atol=EXACT, msg=name)


@pytest.mark.parametrize("norm", ["iabn", "bn"])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("memory", MEMORY)
@pytest.mark.parametrize("kind", BLOCKS)
def test_a_block_is_its_formula(kind, memory, training, norm):
    assert_formula(lambda: make_block(kind, memory=memory, norm=norm).train(training))


@pytest.mark.parametrize("memory", MEMORY)
@pytest.mark.parametrize("kind", BLOCKS)
def test_a_norm_in_evaluation_is_so_in_a_block_in_training(kind, memory):
    def make():
        block = make_block(kind, memory=memory)
        last_unit(block).bn.eval()
        return block

    assert_formula(make)


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("memory", MEMORY)
@pytest.mark.parametrize("kind", BLOCKS)
def test_a_hook_fires_in_training(kind, memory, part):
    calls = []

    def make():
        block = make_block(kind, memory=memory)
        unit, se = last_unit(block), block.se
        modules = (unit.conv, unit.bn, unit, se, se.fc1, se.squeeze, block.act)
        module = dict(zip(PARTS, modules, strict=True))[part]
        module.register_forward_hook(lambda *_: calls.append(part))
        return block

    make()(batch())
    assert calls == [part]
    assert_formula(make)


# What the tools of the ecosystem, and users, do to a block's modules


def replace_the_activation(block):
    block.act = nn.GELU()


def give_the_norm_an_activation(block):
    last_unit(block).bn = reseed(InPlaceABN(16, weight_sign="signed")).double()


def give_the_unit_an_activation(block):
    last_unit(block).act = nn.Tanh()


def give_the_convolution_a_bias(block):
    conv = last_unit(block).conv
    biased = nn.Conv2d(conv.in_channels, 16, conv.kernel_size, padding=conv.padding)
    last_unit(block).conv = reseed(biased).double()


def parametrise(block):
    parametrizations.spectral_norm(last_unit(block).conv)
    parametrizations.spectral_norm(block.se.fc2)


def prune_weights(block):
    prune.random_unstructured(last_unit(block).conv, "weight", 0.5)
    prune.random_unstructured(block.se.fc1, "weight", 0.5)


class Adapter(nn.Module):
    """A module around a convolution, which adds to its result."""

    def __init__(self, conv):
        super().__init__()
        self.conv, self.extra = conv, reseed(copy.deepcopy(conv), seed=1)

    def forward(self, x):
        return self.conv(x) + self.extra(x)


def add_an_adapter(block):
    last_unit(block).conv = Adapter(last_unit(block).conv)


def give_se_a_forward_of_its_own(block):
    block.se.forward = lambda x: 2 * x


CHANGES = [
    replace_the_activation,
    give_the_norm_an_activation,
    give_the_unit_an_activation,
    give_the_convolution_a_bias,
    parametrise,
    prune_weights,
    add_an_adapter,
    give_se_a_forward_of_its_own,
]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("memory", MEMORY)
@pytest.mark.parametrize("kind", BLOCKS)
def test_a_change_to_a_module_has_its_effect(kind, memory, change):
    def make():
        block = make_block(kind, memory=memory)
        change(block)
        return block

    unchanged = make_block(kind, memory=memory)
    assert not torch.allclose(make()(batch()), unchanged(batch()), rtol=1e-3)
    assert_formula(make)


# The predicate


class Subclass(nn.Conv2d):
    pass


def own_forward(conv):
    conv.forward = lambda x: x


@pytest.mark.parametrize(
    "change",
    [
        lambda conv: conv.register_forward_pre_hook(lambda *_: None),
        lambda conv: conv.register_forward_hook(lambda *_: None),
        lambda conv: conv.register_full_backward_pre_hook(lambda *_: None),
        lambda conv: conv.register_full_backward_hook(lambda *_: None),
        lambda conv: parametrizations.weight_norm(conv),
        lambda conv: prune.identity(conv, "weight"),
        own_forward,
    ],
)
def test_what_is_added_makes_a_module_more_than_plain(change):
    conv = nn.Conv2d(2, 2, 1)
    assert is_plain(conv, nn.Conv2d) and is_plain(conv, nn.Linear, nn.Conv2d)
    change(conv)
    assert not is_plain(conv, nn.Conv2d)


def test_another_type_is_not_plain():
    assert not is_plain(nn.Conv2d(2, 2, 1), nn.Linear)
    assert not is_plain(Subclass(2, 2, 1), nn.Conv2d)


def test_a_removed_hook_leaves_a_module_plain():
    conv = nn.Conv2d(2, 2, 1)
    conv.register_forward_hook(lambda *_: None).remove()
    assert is_plain(conv, nn.Conv2d)


def test_a_profilers_hook_on_all_modules_changes_nothing():
    """What a block keeps for backward stays the same while all modules are observed."""

    def kept():
        sizes = []
        with torch.autograd.graph.saved_tensors_hooks(
            lambda t: sizes.append(t.numel()) or t, lambda t: t
        ):
            make_block(BasicBlock)(batch().requires_grad_())
        return sizes

    expected = kept()
    handle = register_module_forward_hook(lambda *_: None)
    try:
        assert kept() == expected
    finally:
        handle.remove()

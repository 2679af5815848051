"""Counts against independent counts: layer by layer, and what a gradient can reach."""

import copy
import itertools

import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tresnet_lite import create_model
from tresnet_lite.counting import count_macs, count_parameters, receptive_field
from tresnet_lite.counting.sizes import norm_outputs
from tresnet_lite.layers import BlurPool2d, SpaceToDepth
from tresnet_lite.model import ConvNormAct
from tresnet_lite.paper import paper_value


def on_meta(name: str, **options) -> nn.Module:
    with torch.device("meta"):
        return create_model(name, **options)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("tresnet_m", 31_389_032),
        ("tresnet_l", 55_989_256),
        ("tresnet_xl", 78_436_244),
        ("tresnet_v2_l", 46_174_824),
        ("resnet50", 25_557_032),
    ],
)
def test_parameters_of_the_family(name, parameters):
    assert count_parameters(on_meta(name)) == parameters


def test_efficientnet_b1_is_counted_at_224_in_table_1():
    """The printed 0.6 G fits images of 224 pixels, not the 240 of the caption."""
    printed = float(paper_value(1, "flops_g", model="EfficientNetB1"))
    with torch.device("meta"):
        network = timm.create_model("efficientnet_b1")
    rounded = {side: round(count_macs(network, (3, side, side)) / 1e9, 1) for side in (224, 240)}
    assert rounded == {224: printed, 240: 0.7}


def test_norm_outputs_by_hooks():
    """timm's ResNet50, whose norms are counted by hooks of their own, has as many as ours."""
    theirs, count = timm.create_model("resnet50").eval(), []
    for module in theirs.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.register_forward_hook(lambda module, x, y: count.append(y[0].numel()))
    with torch.no_grad():
        theirs(torch.zeros(1, 3, 64, 64))
    assert norm_outputs(on_meta("resnet50"), (3, 64, 64)) == sum(count)


def test_a_shared_parameter_counts_once():
    layer = nn.Linear(3, 4)
    assert count_parameters(nn.Sequential(layer, layer)) == 3 * 4 + 4


def test_macs_of_tresnet_m():
    assert count_macs(on_meta("tresnet_m")) == 5_734_965_248


def macs_by_hooks(model: nn.Module, size: int) -> int:
    """Another way to count: each call of a layer, from the shape of its output."""
    counts = []

    def add(layer: nn.Module, _: tuple, output: torch.Tensor) -> None:
        counts.append(output.numel() * layer.weight[0].numel())

    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_hook(add)
    model.eval()(torch.zeros(1, 3, size, size, device="meta"))
    return sum(counts)


@pytest.mark.parametrize("name", ["resnet50", "tresnet_m", "efficientnet_b0", "seresnext50_32x4d"])
@pytest.mark.parametrize("size", [64, 224])
def test_macs_are_those_of_timms_layers_call_by_call(name, size):
    with torch.device("meta"):
        model = timm.create_model(name)  # tresnet_m: with blurs, which are no learnt filters
    assert count_macs(model, (3, size, size)) == macs_by_hooks(model, size)


def test_a_weight_used_without_calling_its_layer_counts():
    class Fused(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return nn.functional.conv2d(x, self.conv.weight)

    assert count_macs(Fused(), (3, 5, 5)) == 5 * 5 * 3 * 4


@given(
    st.integers(1, 3),
    st.integers(1, 4),
    st.integers(1, 4),
    st.integers(1, 5),
    st.integers(1, 2),
    st.integers(5, 12),
)
def test_macs_of_grouped_convolutions(groups, cin, cout, kernel, stride, side):
    conv = nn.Conv2d(groups * cin, groups * cout, kernel, stride, groups=groups)
    out = (side - kernel) // stride + 1
    assert count_macs(conv, (groups * cin, side, side)) == out**2 * groups * cin * cout * kernel**2


def test_counting_leaves_the_model_as_it_was():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout())
    model[1].eval()
    count_macs(model, (3, 8, 8))
    with pytest.raises(RuntimeError):
        count_macs(model, (5, 8, 8))
    assert model.training and not model[1].training and model[2].training
    assert torch.equal(model[1].running_mean, torch.zeros(4))


def support(layers: list[nn.Module], side: int, row: int) -> tuple[int, int]:
    """First and last input row that a middle output pixel's gradient reaches; `row` counts from the
    middle.
    """
    torch.manual_seed(0)
    chain = copy.deepcopy(nn.Sequential(*layers)).eval()
    chain(torch.rand(1, 3, side, side))  # lazy layers learn their channels
    chain.double()
    for p in chain.parameters():
        nn.init.uniform_(p, 0.5, 1.0)  # positive, so that no two paths cancel
    x = torch.rand(1, 3, side, side, dtype=torch.float64, requires_grad=True)
    y = chain(x)
    y[0, :, y.shape[2] // 2 + row, y.shape[3] // 2].sum().backward()
    rows = x.grad.abs().sum(dim=(0, 1, 3)).nonzero()
    return int(rows.min()), int(rows.max())


def check_against_gradient(layers: list[nn.Module]) -> None:
    field = receptive_field(layers)
    # far from the border; a multiple of 4 for SpaceToDepth
    side = 4 * (field.size + 4 * field.stride)
    first, last = support(layers, side, row=0)
    following, _ = support(layers, side, row=1)
    assert last - first + 1 == field.size
    assert following - first == field.stride


WINDOWS = st.one_of(
    st.builds(
        lambda k, s, d: nn.LazyConv2d(2, k, s, dilation=d, bias=False),
        st.sampled_from([1, 2, 3, 5]),
        st.integers(1, 2),
        st.integers(1, 2),
    ),
    st.builds(nn.AvgPool2d, st.integers(1, 3), st.integers(1, 2)),
    st.builds(BlurPool2d, st.integers(1, 2)),
    st.just(nn.LeakyReLU()),
)


@settings(max_examples=30, deadline=None)
@given(st.sampled_from([1, 2, 4]), st.lists(WINDOWS, min_size=1, max_size=3))
def test_receptive_fields_are_what_the_gradient_reaches(block, windows):
    check_against_gradient([SpaceToDepth(block), *windows])


def unit(cin: int, cout: int, kernel: int, **options) -> ConvNormAct:
    return ConvNormAct(
        cin, cout, kernel, norm="iabn", activation="leaky_relu", slope=0.01, **options
    )


@pytest.mark.parametrize(
    ("stem", "size"),
    [
        ([nn.Conv2d(3, 4, 7, 2, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AvgPool2d(3, 2, 1)], 11),
        (
            [
                nn.Sequential(
                    nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 4, 3, 1, 1), nn.Conv2d(4, 4, 3, 1, 1)
                )
            ],
            11,
        ),
        ([SpaceToDepth(4), unit(48, 4, 3)], 12),
        ([SpaceToDepth(4), unit(48, 4, 1)], 4),
        ([unit(3, 4, 3, stride=2, antialias=True)], 5),
    ],
    ids=["conv7x7 + pool", "three 3x3", "SpaceToDepth + 3x3", "SpaceToDepth + 1x1", "3x3 + blur"],
)
def test_receptive_fields_of_the_stems(stem, size):
    assert receptive_field(stem).size == size
    check_against_gradient(stem)


def test_a_max_pool_sees_what_an_average_pool_sees():
    for kernel, stride in itertools.product((2, 3), (1, 2)):
        average, largest = nn.AvgPool2d(kernel, stride), nn.MaxPool2d(kernel, stride)
        assert receptive_field(largest) == receptive_field(average)
    assert receptive_field(nn.MaxPool2d(3, 1, dilation=2)).size == 5


def test_what_is_no_chain_is_refused():
    with pytest.raises(TypeError, match="no rule for BasicBlock"):
        receptive_field(on_meta("tresnet_m").body.layer1)
    with pytest.raises(ValueError, match="reports squares"):
        receptive_field(nn.Conv2d(3, 3, (1, 3)))

"""Each layer against an independent reference: timm's, SciPy-like loops, closed forms."""

import pytest
import timm.layers
import torch
import torch.nn.functional as F
from helpers import images, reseed
from hypothesis import given, settings
from hypothesis import strategies as st

from tresnet_lite.layers import (
    BlurPool2d,
    DepthToSpace,
    FastGlobalAvgPool2d,
    SpaceToDepth,
    SqueezeExcite,
)

FORMATS = [torch.contiguous_format, torch.channels_last]


@given(
    block=st.integers(1, 5),
    n=st.integers(1, 3),
    c=st.integers(1, 4),
    h=st.integers(1, 4),
    w=st.integers(1, 4),
    memory_format=st.sampled_from(FORMATS),
)
@settings(deadline=None)
def test_space_to_depth_puts_each_pixel_where_its_docstring_says(block, n, c, h, w, memory_format):
    x = images(n, c, h * block, w * block).contiguous(memory_format=memory_format)
    y = SpaceToDepth(block)(x)
    assert y.shape == (n, c * block**2, h, w)
    for row in range(block):
        for col in range(block):
            first = (row * block + col) * c
            assert torch.equal(y[:, first : first + c], x[:, :, row::block, col::block])
    assert torch.equal(DepthToSpace(block)(y), x)


def test_space_to_depth_is_timms():
    x = images(2, 3, 32, 24)
    assert torch.equal(SpaceToDepth(4)(x), timm.layers.SpaceToDepth(4)(x))


@pytest.mark.parametrize("memory_format", FORMATS)
@pytest.mark.parametrize(
    "layer", [SpaceToDepth(), BlurPool2d()], ids=lambda layer: type(layer).__name__
)
def test_memory_format_is_kept(layer, memory_format):
    x = images(2, 3, 16, 16).contiguous(memory_format=memory_format)
    assert layer(x).is_contiguous(memory_format=memory_format)


def test_space_to_depth_refuses_what_it_cannot_cut():
    with pytest.raises(ValueError, match="multiples of 4.*10×8"):
        SpaceToDepth(4)(images(1, 3, 10, 8))
    with pytest.raises(ValueError, match="multiple of 4² = 16"):
        DepthToSpace(4)(images(1, 8, 2, 2))


@given(n=st.integers(1, 2), c=st.integers(1, 5), h=st.integers(2, 9), w=st.integers(2, 9))
@settings(deadline=None)
def test_blur_is_the_binomial_filter_at_every_second_pixel(n, c, h, w):
    x = images(n, c, h, w, dtype=torch.float64)
    y = BlurPool2d().double()(x)
    row = {-1: 1 / 4, 0: 1 / 2, 1: 1 / 4}

    def reflect(i, size):
        return -i if i < 0 else 2 * (size - 1) - i if i >= size else i

    expected = torch.stack(
        [
            torch.stack(
                [
                    sum(
                        row[i] * row[j] * x[:, :, reflect(top + i, h), reflect(left + j, w)]
                        for i in row
                        for j in row
                    )
                    for left in range(0, w, 2)
                ],
                -1,
            )
            for top in range(0, h, 2)
        ],
        -2,
    )
    torch.testing.assert_close(y, expected, rtol=0, atol=1e-15)


def test_blur_is_timms_and_two_box_filters():
    x = images(2, 6, 17, 12)
    torch.testing.assert_close(BlurPool2d()(x), timm.layers.BlurPool2d(6)(x))
    inner = F.avg_pool2d(F.avg_pool2d(x, 2, stride=1), 2, stride=1)  # [1,1] * [1,1] = [1,2,1]
    torch.testing.assert_close(BlurPool2d(stride=1)(x)[:, :, 1:-1, 1:-1], inner)


def test_blur_gradient_and_state():
    blur = BlurPool2d().double()
    assert torch.autograd.gradcheck(blur, images(1, 2, 5, 4, dtype=torch.float64).requires_grad_())
    assert not blur.state_dict()
    assert blur.to(torch.bfloat16).kernel.dtype == torch.bfloat16
    assert BlurPool2d().to("meta").kernel.is_meta


def test_blur_refuses_a_single_row():
    with pytest.raises(ValueError, match="at least 2×2 pixels, got 1×8"):
        BlurPool2d()(images(1, 3, 1, 8))


@pytest.mark.parametrize("memory_format", FORMATS)
def test_fast_gap_is_adaptive_average_pooling(memory_format):
    x = images(2, 5, 7, 9).contiguous(memory_format=memory_format)
    expected = F.adaptive_avg_pool2d(x, 1)
    torch.testing.assert_close(FastGlobalAvgPool2d(flatten=False)(x), expected)
    torch.testing.assert_close(FastGlobalAvgPool2d()(x), expected.flatten(1))


def test_squeeze_excite_is_timms():
    ours, timms = reseed(SqueezeExcite(12, 5)), timm.layers.SEModule(12, rd_channels=5)
    timms.load_state_dict(ours.state_dict(), strict=True)
    x = images(2, 12, 6, 5)
    torch.testing.assert_close(ours(x), timms(x))
    gate = ours.gate(x)
    assert gate.shape == (2, 12, 1, 1) and gate.min() > 0 and gate.max() < 1


@pytest.mark.parametrize(
    "build",
    [
        lambda: SpaceToDepth(0),
        lambda: DepthToSpace(0),
        lambda: BlurPool2d(0),
        lambda: SqueezeExcite(8, 0),
    ],
)
def test_impossible_layers_are_refused(build):
    with pytest.raises(ValueError, match="must be"):
        build()

"""Bytes that operations move, against closed forms: the same on the CPU and where nothing runs."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tresnet_lite import create_model
from tresnet_lite.counting.traffic import (
    Operation,
    Traffic,
    bytes_moved,
    least_seconds,
    traffic,
)
from tresnet_lite.layers import BlurPool2d

FLOAT, LONG = 4, 8  # bytes of a number and of an index


@pytest.fixture(params=["cpu", "meta"], autouse=True)
def device(request):
    with torch.device(request.param):
        yield


def maps(*shape: int) -> torch.Tensor:
    return torch.zeros(*(shape or (2, 6, 8, 8)))


def test_a_convolution_reads_its_input_and_its_parameters():
    x, conv = maps(), nn.Conv2d(6, 9, 3, stride=2, padding=1)
    read = x.numel() + 9 * 6 * 3 * 3 + 9
    outputs = 2 * 9 * 4 * 4
    flop = 2 * outputs * 6 * 3 * 3
    assert traffic(conv, x) == [Operation("convolution", FLOAT * read, FLOAT * outputs, flop)]


def test_operations_take_the_longer_of_their_two_times_one_after_another():
    much, little = Operation("convolution", 6, 4, flop=1000), Operation("add", 20, 10)
    assert least_seconds([much, little], flops=10, bandwidth=1) == 1000 / 10 + 30 / 1
    assert least_seconds([much], flops=1000, bandwidth=1) == 10


def test_batch_norm_reads_four_numbers_a_channel():
    x, norm = maps(), nn.BatchNorm2d(6).eval()
    expected = Operation("native_batch_norm", FLOAT * (x.numel() + 4 * 6), FLOAT * x.numel())
    assert traffic(norm, x) == [expected]


def test_in_training_batch_norm_writes_the_batchs_statistics_and_the_running_ones():
    x, norm = maps(), nn.BatchNorm2d(6)
    counter, operation = traffic(norm, x)
    assert counter == Operation("add", LONG, LONG)  # of the batches seen
    read, written = x.numel() + 4 * 6, x.numel() + 2 * 6 + 2 * 6
    assert operation == Operation("native_batch_norm", FLOAT * read, FLOAT * written)


def test_in_place_moves_what_out_of_place_does():
    x, y = maps(), maps()
    assert traffic(F.relu, x) == traffic(F.relu_, x) == [Operation("relu", x.nbytes, x.nbytes)]
    for add in (torch.add, torch.Tensor.add_):
        assert traffic(add, x, y) == [Operation("add", 2 * x.nbytes, x.nbytes)]
    assert traffic(torch.add, x, x) == [Operation("add", x.nbytes, x.nbytes)]  # read once


def test_what_is_overwritten_is_not_read():
    x, y = maps(), maps()
    assert traffic(torch.Tensor.copy_, x, y) == [Operation("copy", x.nbytes, x.nbytes)]
    assert traffic(torch.Tensor.zero_, x) == [Operation("zero", 0, x.nbytes)]
    assert traffic(torch.zeros_like, x) == [Operation("zeros_like", 0, x.nbytes)]
    left, right, product = maps(3, 4), maps(4, 5), maps(3, 5)
    expected = Operation("mm", left.nbytes + right.nbytes, product.nbytes, flop=2 * 3 * 4 * 5)
    assert traffic(lambda: torch.mm(left, right, out=product)) == [expected]


def test_joining_averaging_and_pooling():
    x, y = maps(), maps(2, 3, 8, 8)
    both = x.nbytes + y.nbytes
    assert traffic(lambda: torch.cat([x, y], 1)) == [Operation("cat", both, both)]
    channels = 2 * 6
    assert traffic(lambda: x.mean((2, 3))) == [Operation("mean", x.nbytes, FLOAT * channels)]
    pooled = channels * 4 * 4
    assert traffic(F.avg_pool2d, x, 2) == [Operation("avg_pool2d", x.nbytes, FLOAT * pooled)]
    largest = Operation("max_pool2d_with_indices", x.nbytes, (FLOAT + LONG) * pooled)
    assert traffic(F.max_pool2d, x, 2) == [largest]


def test_an_expanded_tensor_is_as_large_as_what_it_repeats():
    gate, x = maps(4, 6, 1, 1)[:2], maps()
    expected = Operation("mul", x.nbytes + gate.nbytes, x.nbytes)
    assert traffic(lambda: x * gate.expand_as(x)) == traffic(lambda: x * gate) == [expected]


def test_views_and_memory_that_is_only_asked_for_move_nothing():
    x = maps(2, 3, 4, 4)
    for view in (
        lambda: x.permute(0, 2, 3, 1).unsqueeze(0)[..., 1:].flatten(0, 1),
        lambda: torch.ops.aten._unsafe_view(x, (6, 16)),
        lambda: x.detach().unsqueeze_(0).as_strided_((2, 3), (1, 1)),
        lambda: (torch.empty_like(x), x.new_empty(3), torch.empty(5)),
        lambda: x.contiguous().to(x.dtype),
    ):
        assert traffic(view) == []
    copy = traffic(lambda: x.contiguous(memory_format=torch.channels_last))
    assert copy == [Operation("clone", x.nbytes, x.nbytes)]


@settings(deadline=None, max_examples=25)
@given(
    channels=st.integers(1, 5),
    height=st.integers(2, 9),
    width=st.integers(2, 9),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_traffic_of_the_blur_is_what_its_two_steps_read_and_write(channels, height, width, dtype):
    x, layer = maps(1, channels, height, width).to(dtype), BlurPool2d().to(dtype).eval()
    padded = channels * (height + 2) * (width + 2)
    halved = channels * -(-height // 2) * -(-width // 2)
    item = dtype.itemsize
    assert traffic(layer, x) == [
        Operation("reflection_pad2d", x.nbytes, padded * item),
        # 9: the kernel, once, however many channels share it
        Operation("convolution", (padded + 9) * item, halved * item, flop=2 * 9 * halved),
    ]


def test_a_backward_is_counted_while_the_mode_is_entered():
    x, conv = maps(), nn.Conv2d(6, 9, 1, bias=False)
    y = conv(x)
    with Traffic() as counter:
        y.backward(torch.ones_like(y))
    ones, backward = counter.operations
    assert ones == Operation("ones_like", 0, y.nbytes)
    weight = conv.weight.nbytes  # the image needs no gradient
    flop = 2 * y.numel() * 6
    read = y.nbytes + x.nbytes + weight
    assert backward == Operation("convolution_backward", read, weight, flop)
    assert counter.moved == ones.moved + backward.moved


def test_a_network_moves_the_sum_of_its_operations():
    network = create_model("tresnet_m", width=8, depths=(1, 1, 1, 1), num_classes=4).eval()
    x = maps(2, 3, 64, 64)
    steps = traffic(network, x)
    assert bytes_moved(network, x) == sum(step.read + step.written for step in steps)
    # of the images: once by the stem's copy, as 48 maps of a sixteenth
    assert steps[0] == Operation("clone", x.nbytes, x.nbytes)

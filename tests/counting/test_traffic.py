"""Bytes that operations move, against closed forms: the same on the CPU and where nothing runs."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tresnet_lite import create_model
from tresnet_lite.counting.networks import build
from tresnet_lite.counting.published_abn import PublishedABN, with_published_passes
from tresnet_lite.counting.traffic import (
    Operation,
    Traffic,
    bytes_moved,
    least_seconds,
    run_step,
    step_operations,
    traffic,
)
from tresnet_lite.layers import BlurPool2d, InPlaceABN

FLOAT, LONG = 4, 8  # bytes of a number and of an index


@pytest.fixture(params=["cpu", "meta"], autouse=True)
def device(request):
    with torch.device(request.param):
        yield


def maps(*shape: int) -> torch.Tensor:
    return torch.zeros(*(shape or (2, 6, 8, 8)))


def test_a_convolution_reads_its_input_and_its_weight_and_adds_its_bias_afterwards():
    x, conv = maps(), nn.Conv2d(6, 9, 3, stride=2, padding=1)
    read = x.numel() + 9 * 6 * 3 * 3
    outputs = 2 * 9 * 4 * 4
    flop = 2 * outputs * 6 * 3 * 3
    assert traffic(conv, x) == [
        Operation("convolution", FLOAT * read, FLOAT * outputs, flop, (1, 6, 9)),
        Operation("bias", FLOAT * (outputs + 9), FLOAT * outputs),
    ]


@pytest.mark.parametrize("groups, channels", [(1, (1, 6, 12)), (3, (3, 2, 4)), (6, (6, 1, 2))])
def test_channels_are_those_of_a_group(groups, channels):
    conv = nn.Conv2d(6, 12, 3, groups=groups, bias=False)
    (operation,) = traffic(conv, maps())
    assert operation.channels == channels
    assert operation.macs == 2 * 12 * 6 * 6 * (6 // groups) * 3 * 3
    upwards = nn.ConvTranspose2d(6, 12, 3, groups=groups, bias=False)
    (operation,) = traffic(upwards, maps())
    assert operation.channels == channels
    assert operation.macs == maps().numel() * (12 // groups) * 3 * 3  # of each input


def test_operations_take_the_longer_of_their_two_times_one_after_another():
    much, little = Operation("convolution", 6, 4, flop=1000), Operation("add", 20, 10)
    assert least_seconds([much, little], flops=10, bandwidth=1) == 1000 / 10 + 30 / 1
    assert least_seconds([much], flops=1000, bandwidth=1) == 10


def test_batch_norm_reads_four_numbers_a_channel():
    x, norm = maps(), nn.BatchNorm2d(6).eval()
    expected = Operation("native_batch_norm", FLOAT * (x.numel() + 4 * 6), FLOAT * x.numel())
    assert traffic(norm, x) == [expected]


def test_in_training_batch_norm_reads_its_map_twice_and_writes_statistics():
    """The batch's statistics come first; they are kept for backward, and the running ones move."""
    x, norm = maps(), nn.BatchNorm2d(6)
    counter, operation = traffic(norm, x)
    assert counter == Operation("add", LONG, LONG)  # of the batches seen
    read, written = 2 * x.numel() + 4 * 6, x.numel() + 2 * 6 + 2 * 6
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
    moved = left.nbytes + right.nbytes, product.nbytes
    expected = Operation("mm", *moved, flop=2 * 3 * 4 * 5)
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
        Operation(
            "convolution",
            (padded + 9) * item,
            halved * item,
            flop=2 * 9 * halved,
            channels=(channels, 1, 1),
        ),
    ]


def gradients(y: torch.Tensor) -> list[Operation]:
    """The operations of the backward of a map, behind the one that fills its gradient."""
    with Traffic() as counter:
        y.backward(torch.ones_like(y))
    assert counter.operations[0] == Operation("ones_like", 0, y.nbytes)
    assert counter.moved == sum(operation.moved for operation in counter.operations)
    return counter.operations[1:]


def test_each_gradient_of_a_convolution_is_an_operation():
    x, conv = maps(), nn.Conv2d(6, 9, 3, padding=1, groups=3)
    y = conv(x.requires_grad_())
    weight, flop = conv.weight.nbytes, 2 * y.numel() * 2 * 9
    name, channels = "convolution_backward", (3, 2, 3)
    assert gradients(y) == [
        Operation(name, y.nbytes + weight, x.nbytes, flop, channels),
        Operation(name, y.nbytes + x.nbytes, weight, flop, channels),
        Operation("bias_backward", y.nbytes, FLOAT * 9),
    ]


def test_images_need_no_gradient():
    x, conv = maps(), nn.Conv2d(6, 9, 1, bias=False)
    y = conv(x)
    (backward,) = gradients(y)
    flop, weight = 2 * y.numel() * 6, conv.weight.nbytes
    read = y.nbytes + x.nbytes
    assert backward == Operation("convolution_backward", read, weight, flop, (1, 6, 9))


@pytest.mark.parametrize("training, passes", [(True, 2), (False, 1)])
def test_the_backward_of_batch_norm_passes_over_two_maps(training, passes):
    x, norm = maps(), nn.BatchNorm2d(6).train(training)
    (backward,) = gradients(norm(x.requires_grad_()))
    assert backward.name == "native_batch_norm_backward"
    # the weight and at most two means and two variances: the batch's and the running ones
    assert 0 < backward.read - passes * 2 * x.nbytes <= FLOAT * 6 * 5
    assert backward.written == x.nbytes + 2 * FLOAT * 6


@pytest.mark.parametrize("training", [True, False])
def test_the_published_inplace_abn_passes_as_its_kernels_do(training):
    x, layer = maps(), PublishedABN(6).train(training)
    numbers = 2 * FLOAT * 6
    (forward,) = traffic(layer, x)
    read = (2 if training else 1) * x.nbytes + numbers
    assert forward == Operation("published_abn", read, x.nbytes)
    if training:
        (backward,) = gradients(layer(x.requires_grad_()))
        moved = 4 * x.nbytes + numbers, 3 * x.nbytes
        assert backward == Operation("published_abn_backward", *moved)


def test_the_published_layer_takes_the_place_of_each_inplace_abn():
    network = create_model("tresnet_m", width=8, depths=(1, 1, 1, 1), num_classes=4)
    layers = [m for m in network.modules() if isinstance(m, InPlaceABN)]
    stands = [m for m in with_published_passes(network).modules() if isinstance(m, PublishedABN)]
    assert [m.weight.shape for m in stands] == [m.weight.shape for m in layers] != []


@pytest.mark.parametrize("name", ["tresnet_m", "resnet50", "efficientnet_b0", "published"])
@pytest.mark.parametrize("phase", ["inference", "training"])
def test_every_operation_is_affine_in_the_batch(name, phase):
    """A trace of `MANY` images gives any batch, to the byte, as tracing that batch does."""
    with torch.device("meta"):
        network = build("tresnet_m" if name == "published" else name)
        if name == "published":
            with_published_passes(network)
        steps = step_operations(network, (3, 64, 64), phase)
        for batch in (2, 3, 7):
            images = torch.empty(batch, 3, 64, 64)
            assert [step.of(batch) for step in steps] == run_step(network, images, phase)


def test_a_step_leaves_the_networks_mode_and_refuses_to_compute():
    with torch.device("meta"):
        network = create_model("tresnet_m", width=8, depths=(1, 1, 1, 1)).eval()
    for phase in ("inference", "training"):
        assert step_operations(network, (3, 32, 32), phase) and not network.training
    with pytest.raises(ValueError, match="on cpu: build it under torch.device"):
        step_operations(nn.Conv2d(3, 4, 1, device="cpu"))


def test_resnet50_by_hand():
    """MACs of its convolutions from the table of its shapes (He et al., 2016), three in training.

    Training computes two gradients more, but none of the images.
    """
    stem = 112 * 112 * 64 * 147
    total, channels = stem, 64
    stages = ((3, 64, 56), (4, 128, 28), (6, 256, 14), (3, 512, 7))
    for stage, (blocks, width, side) in enumerate(stages):
        for block in range(blocks):
            before = 2 * side if stage and not block else side
            total += before**2 * channels * width + side**2 * width * 9 * width
            total += side**2 * width * 4 * width
            total += 0 if block else side**2 * channels * 4 * width
            channels = 4 * width
    total += channels * 1000
    with torch.device("meta"):
        network = build("resnet50")
    counted = {
        phase: sum(step.per_image.macs for step in step_operations(network, phase=phase))
        for phase in ("inference", "training")
    }
    assert counted == {"inference": total, "training": 3 * total - stem}


def test_a_network_moves_the_sum_of_its_operations():
    network = create_model("tresnet_m", width=8, depths=(1, 1, 1, 1), num_classes=4).eval()
    x = maps(2, 3, 64, 64)
    steps = traffic(network, x)
    assert bytes_moved(network, x) == sum(step.read + step.written for step in steps)
    # of the images: once by the stem's copy, as 48 maps of a sixteenth
    assert steps[0] == Operation("clone", x.nbytes, x.nbytes)

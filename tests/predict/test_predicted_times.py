"""The time of a step, against sums done by hand."""

import numpy as np
import pytest
import torch
from made_up import load
from torch import nn

from tresnet_lite.predict import Load, load_of
from tresnet_lite.predict.roofline import (
    Rates,
    Rules,
    demand,
    image_seconds,
    operation_seconds,
    padding,
    share_of_bytes,
)


def step(phase: str = "inference", names=("convolution", "convolution", "relu")) -> Load:
    """A dense and a depthwise convolution, and what only moves."""
    channels = np.array([(1, 8, 64), (32, 1, 1), (0, 0, 0)])
    macs, moved = np.array([1000.0, 80.0, 0.0]), np.array([20.0, 40.0, 30.0])
    once = np.array([40.0, 0.0, 0.0])
    return Load(names, macs, moved, once, channels, 1, 2, phase, 32)


RATES = Rates(arithmetic=10, bandwidth=2)


def test_each_operation_takes_the_longer_of_its_two_times():
    asked = demand([(step(), 4)], Rules())
    # 1000 / 10 > (20 + 40 / 4) / 2; 80 / 10 < 40 / 2; 0 < 30 / 2
    assert operation_seconds(asked, RATES).tolist() == [100, 20, 15]
    # and casts of 2 parameters, 6 bytes each, for 4 images
    assert image_seconds(asked, RATES).tolist() == [135 + 2 * 6 / 4 / 2]
    assert share_of_bytes(asked, RATES) == pytest.approx(36.5 / 136.5)


def test_depthwise_convolutions_and_short_operations_have_their_own_rates():
    asked = demand([(step(), 4)], Rules())
    slow = Rates(arithmetic=10, bandwidth=2, depthwise=1, launch=72)
    assert operation_seconds(asked, slow).tolist() == [100, 80, 72 / 4]
    assert share_of_bytes(asked, slow) == pytest.approx(1.5 / 199.5)  # the casts alone


def test_training_is_slower_than_counted_and_has_an_optimiser():
    asked = demand([(step("training"), 4), (step(), 4)], Rules())
    slow = Rates(arithmetic=10, bandwidth=2, slowdown=1.5)
    training, inference = image_seconds(asked, slow)
    assert training == 1.5 * (135 + 2 * 56 / 4 / 2) and inference == 136.5


@pytest.mark.parametrize(
    "channels, rules, ratio",
    [
        ((1, 3, 64), Rules(), 8 / 3),
        ((1, 64, 83), Rules(), 128 / 83),
        ((1, 64, 83), Rules(outputs=8), 88 / 83),
        ((32, 4, 4), Rules(grouped=32), 64),
        ((32, 4, 4), Rules(grouped=1), 1),
        ((32, 1, 1), Rules(), 1),  # depthwise
        ((0, 0, 0), Rules(), 1),
    ],
)
def test_channels_are_padded_to_whole_tiles(channels, rules, ratio):
    one = Load(("convolution",), *np.ones((3, 1)), np.array([channels]), 1, 1, "inference", 32)
    assert padding(one, rules) == pytest.approx([ratio])


def test_byte_rules_change_norms_in_training_alone():
    names = ("native_batch_norm", "native_batch_norm_backward", "published_abn")
    training, inference = (step(phase, names) for phase in ("training", "inference"))

    def factors(asked: Load, rules: Rules) -> list[float]:
        plain, changed = (demand([(asked, 1)], r).moved for r in (Rules(), rules))
        return (changed / plain).tolist()

    # 2 reads and 1 write become 3 and 1; 2 reads of 2 maps and 1 write become 3 of 2 and 1
    assert factors(training, Rules(norm_passes=3)) == pytest.approx([4 / 3, 7 / 5, 1])
    assert factors(inference, Rules(norm_passes=3)) == [1, 1, 1]
    # 2 reads and 1 write, then 1 and 1
    assert factors(training, Rules(split_published=True)) == pytest.approx([1, 1, 5 / 3])
    assert factors(inference, Rules(split_published=True)) == [1, 1, 2]


def test_networks_side_by_side_take_what_they_take_alone():
    steps = [(load(seed, phase), 64 + seed) for seed, phase in ((1, "inference"), (2, "training"))]
    rates = Rates(3e13, 7e11, 3e11, 1.3, 1e-5)
    together = demand(steps, Rules())
    for function in (image_seconds, share_of_bytes):
        alone = [function(demand([one], Rules()), rates)[0] for one in steps]
        assert function(together, rates) == pytest.approx(alone, rel=1e-12)
    with pytest.raises(ValueError, match="batch is 0: it must be 1 or more"):
        demand([(load(1), 0)], Rules())


def test_halves_are_counted_and_norms_keep_float32():
    """A convolution's map takes 2 bytes a number; batch norm's weight and statistics take 4."""
    with torch.device("meta"):
        network = nn.Sequential(nn.Conv2d(3, 8, 1, bias=False), nn.BatchNorm2d(8))
    asked = load_of(network, 16)
    pixels = 16 * 16
    assert asked.names == ("convolution", "native_batch_norm")
    assert asked.macs.tolist() == [pixels * 3 * 8, 0]
    assert asked.moved.tolist() == [2 * pixels * (3 + 8), 2 * pixels * (8 + 8)]
    assert asked.once.tolist() == [2 * 3 * 8, 4 * 4 * 8]
    assert (asked.parameters, asked.activations) == (3 * 8 + 2 * 8, pixels * 8)
    assert asked.parameter_bytes == 6 * asked.parameters
    assert asked.has_batch_norm and not asked.has_attention
    with pytest.raises(ValueError, match="phase 'testing': give one of inference, training"):
        load_of(network, 16, "testing")

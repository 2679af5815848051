"""The steps that are timed do what they are called: inference infers, training trains."""

import pytest
import torch
from torch import nn

from tresnet_lite import create_model
from tresnet_lite.bench import inference_step, synthetic_images, throughput, training_step


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(8 * 30 * 30, 10)
    )


@pytest.mark.parametrize("channels_last", [False, True])
def test_synthetic_images_are_pixels_in_the_asked_layout(channels_last):
    images = synthetic_images(2, 32, channels_last=channels_last)
    assert images.shape == (2, 3, 32, 32) and images.min() >= 0 and images.max() <= 1
    layout = torch.channels_last if channels_last else torch.contiguous_format
    assert images.is_contiguous(memory_format=layout)
    assert torch.equal(images, synthetic_images(2, 32))  # the layout does not change the picture


def test_inference_is_the_forward_pass_in_evaluation_mode(model):
    images = synthetic_images(2, 32)
    output = inference_step(model, images)()
    assert output.is_inference() and not model.training
    assert torch.equal(output, model.eval()(images))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_training_leaves_gradients_and_the_same_weights(model, dtype):
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    statistics = model[1].running_mean.clone()
    loss = training_step(model, synthetic_images(2, 32), dtype=dtype)()
    assert loss.isfinite() and model.training
    assert (
        all(p.grad is not None for p in model.parameters()) and model[3].weight.grad.abs().sum() > 0
    )
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())
    assert not torch.equal(model[1].running_mean, statistics)


def test_half_precision_means_autocast(model):
    images = synthetic_images(2, 32)
    assert inference_step(model, images, dtype="bfloat16")().dtype is torch.bfloat16
    assert next(model.parameters()).dtype is torch.float32


def test_any_loss_will_do_for_what_is_no_classifier():
    stem = nn.Conv2d(3, 8, 7, 2)
    training_step(stem, synthetic_images(2, 32), loss=lambda y: y.square().mean())()
    assert stem.weight.grad.abs().sum() > 0


def test_one_model_cannot_be_timed_in_both_phases_at_once(model):
    images = synthetic_images(2, 32)
    inference, training = inference_step(model, images), training_step(model, images)
    with pytest.raises(RuntimeError, match="in training mode while its inference"):
        inference()
    model.eval()
    with pytest.raises(RuntimeError, match="in evaluation mode while its training"):
        training()


def test_throughput_of_a_network():
    spread = throughput(
        create_model("resnet50"), synthetic_images(1, 32), min_repeats=3, max_seconds=0.01
    )
    assert 0 < spread.q1 <= spread.median <= spread.q3 and spread.repeats >= 3


def test_wrong_words_are_answered_with_the_right_ones(model):
    images = synthetic_images(1, 32)
    with pytest.raises(ValueError, match="float32, bfloat16, float16"):
        inference_step(model, images, dtype="half")
    with pytest.raises(ValueError, match="'inference' or 'training'"):
        throughput(model, images, phase="eval")

"""One step of a model, inference or training, as a function that the clock can call."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from tresnet_lite.bench.clock import measure
from tresnet_lite.profiles import DTYPES
from tresnet_lite.records import Spread


def synthetic_images(
    batch: int,
    resolution: int,
    *,
    device: str | torch.device = "cpu",
    channels_last: bool = False,
    seed: int = 0,
) -> torch.Tensor:
    """Random images in [0, 1], (batch, 3, resolution, resolution), on the device: no loader."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(batch, 3, resolution, resolution, generator=generator)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    return images.to(device, memory_format=layout)


def autocast(images: torch.Tensor, dtype: str) -> torch.autocast:
    """The precision of a step on these images; a half dtype means autocast."""
    if dtype not in DTYPES:
        raise ValueError(f"dtype {dtype!r}: give one of {', '.join(DTYPES)}")
    return torch.autocast(images.device.type, DTYPES[dtype], enabled=dtype != "float32")


def inference_step(
    model: nn.Module, images: torch.Tensor, *, dtype: str = "float32"
) -> Callable[[], torch.Tensor]:
    """A forward pass in evaluation mode, without gradients; a half dtype means autocast."""
    model.eval()
    precision = autocast(images, dtype)

    def step() -> torch.Tensor:
        if model.training:  # the same model timed in both phases at once would be timed in neither
            raise RuntimeError("model in training mode while its inference is timed: time a copy")
        with torch.inference_mode(), precision:
            return model(images)

    return step


def _to_class_zero(output: torch.Tensor) -> torch.Tensor:
    """Cross-entropy against class 0: what the labels are does not change the time."""
    return F.cross_entropy(output, torch.zeros(len(output), dtype=torch.long, device=output.device))


def training_step(
    model: nn.Module,
    images: torch.Tensor,
    *,
    dtype: str = "float32",
    loss: Callable[[torch.Tensor], torch.Tensor] = _to_class_zero,
) -> Callable[[], torch.Tensor]:
    """Forward, loss, backward, SGD step with momentum.

    A half dtype means autocast, and float16 a scaled loss too. `loss` maps the model's output to a
    scalar; the default suits a classifier. The learning rate is 0, so that the model stays what it
    is however long it is timed; the optimiser moves the same bytes.
    """
    model.train()
    precision = autocast(images, dtype)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0, momentum=0.9)
    scaler = torch.amp.GradScaler(images.device.type, enabled=dtype == "float16")

    def step() -> torch.Tensor:
        if not model.training:
            raise RuntimeError("model in evaluation mode while its training is timed: time a copy")
        optimizer.zero_grad(set_to_none=True)
        with precision:
            value = loss(model(images))
        scaler.scale(value).backward()
        scaler.step(optimizer)
        scaler.update()
        return value.detach()

    return step


STEPS = {"training": training_step, "inference": inference_step}


def step_maker(phase: str) -> Callable[..., Callable[[], torch.Tensor]]:
    """What makes the step of a phase. Raises ValueError for an unknown phase."""
    if phase not in STEPS:
        raise ValueError(f"phase {phase!r}: give 'inference' or 'training'")
    return STEPS[phase]


def throughput(
    model: nn.Module,
    images: torch.Tensor,
    *,
    phase: str = "inference",
    dtype: str = "float32",
    **options,
) -> Spread:
    """Images per second of one model in a phase; `options` are the clock's.

    To compare models, time their steps together with `measure_many` instead.
    """
    step = step_maker(phase)(model, images, dtype=dtype)
    return measure(step, device=images.device, **options).rate(len(images))

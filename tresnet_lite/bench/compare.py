"""Records of several models under a profile: timed against each other, or their memory's peaks."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import nn

from tresnet_lite.bench.clock import clock_options, measure_many
from tresnet_lite.bench.peak import training_peak
from tresnet_lite.bench.steps import step_maker, synthetic_images
from tresnet_lite.layers import InPlaceABN
from tresnet_lite.model import TResNet, TResNetConfig
from tresnet_lite.profiles import Profile
from tresnet_lite.records import Conditions, Record, Spread, collect


def compare(
    models: Mapping[str, nn.Module],
    profile: Profile,
    *,
    suite: str,
    case: str,
    phase: str,
    loss: Callable[[torch.Tensor], torch.Tensor] | None = None,
    inputs: torch.Tensor | None = None,
) -> list[Record]:
    """Images per second of each model, interleaved (`measure_many`), eager, channels first.

    Args:
        models: name → model for images of 3 channels; each is moved to the profile's device.
        suite, case: what the records are filed under.
        phase: "inference" or "training" (forward, loss, backward, SGD step).
        loss: in training, output → scalar; the default suits classifiers.
        inputs: in place of random images: a batch of what the models take, on the device.

    Raises:
        ValueError: an unknown phase.
        TimingError: the result would mislead.
    """
    make_step = step_maker(phase)
    images = inputs
    if images is None:
        images = synthetic_images(profile.batch, profile.image_size, device=profile.device)
    options: dict[str, object] = {"dtype": profile.dtype}
    if loss is not None and phase == "training":
        options["loss"] = loss
    steps = {
        name: make_step(model.to(profile.device), images, **options)
        for name, model in models.items()
    }
    timings = measure_many(steps, **clock_options(profile))
    provenance = collect(profile.device)
    records = []
    for name, model in models.items():
        speed, ran = timings[name].rate(profile.batch), _conditions(model, profile)
        records.append(Record(suite, case, name, phase, "throughput", speed, ran, provenance))
    return records


def training_peaks(
    models: Mapping[str, nn.Module], profile: Profile, *, suite: str, case: str
) -> list[Record]:
    """The peak memory of a training step of each model alone; arguments as `compare`'s."""
    images = synthetic_images(profile.batch, profile.image_size, device=profile.device)
    provenance, records = collect(profile.device), []
    for name, model in models.items():
        peak = float(training_peak(model.to(profile.device), images, profile.dtype))
        value, ran = Spread.over([peak]), _conditions(model, profile)
        records.append(Record(suite, case, name, "training", "peak_memory", value, ran, provenance))
    return records


def _conditions(model: nn.Module, profile: Profile) -> Conditions:
    thin = isinstance(model, TResNet) and model.config.width < TResNetConfig.width
    width = model.config.width if thin else None
    return Conditions(
        profile.batch, profile.image_size, profile.dtype, norm=norm_backend(model), width=width
    )


def norm_backend(model: nn.Module) -> str:
    """What normalises in a model, as records name it: Inplace-ABN's backend, or "bn"."""
    return next((m.backend for m in model.modules() if isinstance(m, InPlaceABN)), "bn")

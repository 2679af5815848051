"""Time several models against each other under a profile, or take their peaks of memory; each
result a record.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import nn

from tresnet_lite.bench.clock import measure_many
from tresnet_lite.bench.peak import training_peak
from tresnet_lite.bench.steps import inference_step, synthetic_images, training_step
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
    """Images a second of each model, interleaved in random order (see `measure_many`), eager,
    channels first.

    Args:
        models: name → model for images of 3 channels; each is moved to the profile's device.
        suite, case: what the records are filed under.
        phase: "inference" or "training" (forward, loss, backward, SGD step).
        loss: in training, output → scalar; the default suits classifiers.
        inputs: in place of random images, `profile.batch` of whatever the models take, on the
            profile's device.

    Raises:
        ValueError: an unknown phase.
        TimingError: the result would mislead.
    """
    if phase not in ("inference", "training"):
        raise ValueError(f"phase {phase!r}: give 'inference' or 'training'")
    images = inputs
    if images is None:
        images = synthetic_images(profile.batch, profile.image_size, device=profile.device)
    make_step = inference_step if phase == "inference" else training_step
    options = {"dtype": profile.dtype} | (
        {"loss": loss} if loss is not None and phase == "training" else {}
    )
    steps = {
        name: make_step(model.to(profile.device), images, **options)
        for name, model in models.items()
    }
    timings = measure_many(
        steps,
        device=profile.device,
        min_block=profile.min_block,
        min_repeats=profile.repeats,
        max_seconds=profile.max_seconds,
    )
    provenance = collect(profile.device)

    def record(name: str) -> Record:
        speed = timings[name].rate(profile.batch)
        return Record(
            suite,
            case,
            name,
            phase,
            "throughput",
            speed,
            _conditions(models[name], profile),
            provenance,
        )

    return [record(name) for name in models]


def training_peaks(
    models: Mapping[str, nn.Module], profile: Profile, *, suite: str, case: str
) -> list[Record]:
    """The peak memory of one training step of each model, by itself (see `training_peak`);
    arguments as `compare`'s.
    """
    images = synthetic_images(profile.batch, profile.image_size, device=profile.device)
    provenance, records = collect(profile.device), []
    for name, model in models.items():
        peak = float(training_peak(model.to(profile.device), images, profile.dtype))
        value, ran = Spread(peak, peak, peak, 1), _conditions(model, profile)
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

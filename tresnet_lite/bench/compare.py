"""Records of several models under a profile: timed against each other, or their memory's peaks."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from tresnet_lite.bench.batch_search import ran_out_of_memory
from tresnet_lite.bench.clock import clock_options, measure_many
from tresnet_lite.bench.comparisons import EFFICIENTNETS, Comparison, side
from tresnet_lite.bench.peak import training_peak
from tresnet_lite.bench.steps import step_maker, synthetic_images
from tresnet_lite.layers import InPlaceABN
from tresnet_lite.model import TResNet, TResNetConfig
from tresnet_lite.profiles import DTYPES, Profile
from tresnet_lite.records import Conditions, Record, Spread, collect
from tresnet_lite.records.records import PHASES


def compare(
    models: Mapping[str, nn.Module],
    profile: Profile,
    *,
    suite: str,
    case: str,
    phase: str,
    loss: Callable[[Tensor], Tensor] | None = None,
    inputs: Tensor | None = None,
    sides: Mapping[str, int] | None = None,
) -> list[Record]:
    """Images per second of each model, interleaved (`measure_many`), eager, channels first.

    One process gives ratios that are good to some per cent; a verdict takes several
    (`measure_comparison`).

    Args:
        models: name → model for images of 3 channels; each is moved to the profile's device.
        suite, case: what the records are filed under.
        phase: "inference" or "training" (forward, loss, backward, SGD step).
        loss: in training, output → scalar; the default suits classifiers.
        inputs: in place of random images: a batch of what the models take, on the device.
        sides: image size of the models that take another than the profile's.

    Raises:
        ValueError: an unknown phase.
        TimingError: the result would mislead.
    """
    make_step, sides = step_maker(phase), sides or {}
    options: dict[str, object] = {"dtype": profile.dtype}
    if loss is not None and phase == "training":
        options["loss"] = loss
    steps = {}
    for name, model in models.items():
        images = inputs
        if images is None:
            side = sides.get(name, profile.image_size)
            images = synthetic_images(profile.batch, side, device=profile.device)
        steps[name] = make_step(model.to(profile.device), images, **options)
    timings = measure_many(steps, **clock_options(profile))
    provenance = collect(profile.device)
    records = []
    for name, model in models.items():
        speed, ran = timings[name].rate(profile.batch), _conditions(model, profile)
        ran = replace(ran, resolution=sides.get(name, profile.image_size))
        records.append(Record(suite, case, name, phase, "throughput", speed, ran, provenance))
    return records


def measure_comparison(comparison: Comparison, profile: Profile) -> Iterator[Record]:
    """What one process measures of a comparison: speeds by phase, then peaks of memory.

    Where the device has no memory for the profile's batch, half of it is taken for all.

    Raises:
        torch.OutOfMemoryError: not even a batch of 2 fits.
        TimingError: the result would mislead.
    """
    networks = comparison.build(profile.width)
    for phase in PHASES:  # training first: what cuDNN finds out then serves inference too
        timed = {name: networks[name] for name in comparison.in_(phase)}
        if timed:
            records, profile = _at_a_batch_that_fits(comparison, timed, profile, phase)
            for record in records:
                for suite in comparison.suites_of(record.model, phase):
                    yield replace(record, suite=suite)
    if comparison.peaks:
        trained = {name: networks[name] for name in comparison.in_("training")}
        case = {"suite": comparison.suite, "case": comparison.case}
        yield from training_peaks(trained, profile, **case)


def _at_a_batch_that_fits(
    comparison: Comparison, timed: Mapping[str, nn.Module], profile: Profile, phase: str
) -> tuple[list[Record], Profile]:
    """The records of one phase, and the profile with the batch that they were taken at."""
    sides = {name: side(EFFICIENTNETS.get(name, 224), profile.image_size) for name in timed}
    while True:
        inputs, batch = None, profile.batch
        if comparison.inputs:
            # in the precision that maps have inside a network
            maps = comparison.inputs(batch, profile.image_size, phase)
            inputs = maps.detach().to(profile.device, DTYPES[profile.dtype])
            inputs.requires_grad_(maps.requires_grad)
        try:
            case = {"suite": comparison.suite, "case": comparison.case, "phase": phase}
            options = {"loss": comparison.loss, "inputs": inputs, "sides": sides}
            return compare(timed, profile, **case, **options), profile
        except RuntimeError as error:
            if not ran_out_of_memory(error) or batch < 4:
                raise
        # the traceback, which held the failed step's tensors, is gone
        for network in timed.values():
            network.zero_grad()
        gc.collect()
        torch.cuda.empty_cache()
        profile = replace(profile, batch=batch // 2)


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

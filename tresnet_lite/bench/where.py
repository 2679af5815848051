"""Where a network's time goes: by stage, each timed alone, and by operation, by the profiler."""

from __future__ import annotations

import statistics
from collections.abc import Callable

import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

from tresnet_lite.bench.clock import measure_many
from tresnet_lite.bench.steps import autocast, inference_step, training_step
from tresnet_lite.counting.variants import stem_of
from tresnet_lite.model import TResNet
from tresnet_lite.records import Spread
from tresnet_lite.records.records import MIN_REPEATS


def stages(network: TResNet) -> dict[str, nn.Module]:
    """The network in pieces that follow each other: stem, layer1 … layer4, head."""
    if not isinstance(network, TResNet):
        raise TypeError(f"stages are known of our networks, not of a {type(network).__name__}")
    parts = network.body.named_children()
    layers = {name: part for name, part in parts if name.startswith("layer")}
    return {"stem": stem_of(network), **layers, "head": network.head}


def stage_times(
    network: TResNet, images: torch.Tensor, *, phase: str, dtype: str = "float32", **options
) -> dict[str, Spread]:
    """Seconds of each stage alone, on what the stages before it give; `options` are the clock's.

    A training step of a stage is its forward, the mean as loss, its backward down to its input and
    its SGD step. The stages' times add up to a little more than the network's, as each has a loss
    and the first needs no gradient.

    Args:
        images: (B, 3, H, W), on the network's device.
        phase: "inference" or "training".
    """
    options.setdefault("device", images.device)
    steps = {}
    for name, stage in stages(network).items():
        x = images
        if phase == "inference":
            steps[name] = inference_step(stage, x, dtype=dtype)
        else:
            x = x.detach().clone(memory_format=torch.preserve_format).requires_grad_()
            x.register_post_accumulate_grad_hook(_drop_gradient)  # else steps would add up
            steps[name] = training_step(stage, x, dtype=dtype, loss=lambda y: y.float().mean())
        with torch.no_grad(), autocast(images, dtype):  # a map, in the precision it has there
            images = stage(images)
    timings = measure_many(steps, **options)
    return {name: timing.seconds for name, timing in timings.items()}


def _drop_gradient(x: torch.Tensor) -> None:
    x.grad = None


def operation_times(
    step: Callable[[], object], device: str | torch.device, *, repeats: int = 5, least: float = 0.01
) -> dict[str, Spread]:
    """Seconds of a step in each of torch's operators, without the operators that it calls.

    Those that take less than a share of the step come together as "others".

    Args:
        step: a warm one, such as `training_step` makes.
        device: where it runs; on a GPU the time of the kernels counts.
        repeats: steps to profile, 3 or more.
        least: the share of the step that gives an operator a time of its own.
    """
    if repeats < MIN_REPEATS:
        raise ValueError(f"repeats is {repeats}: quartiles need at least {MIN_REPEATS}")
    runs = [_profile(step, torch.device(device).type) for _ in range(repeats)]
    total = statistics.median(sum(run.values()) for run in runs)
    names = sorted({name for run in runs for name in run}, key=lambda n: -_median(runs, n))
    large = [name for name in names if _median(runs, name) >= least * total]
    values = {name: [run.get(name, 0.0) for run in runs] for name in large}
    values["others"] = [sum(t for name, t in run.items() if name not in large) for run in runs]
    return {name: Spread.over(times) for name, times in values.items() if min(times) > 0}


def _profile(step: Callable[[], object], kind: str) -> dict[str, float]:
    """Seconds in each operator during one step."""
    activities = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if kind == "cuda" else [])
    with profile(activities=activities) as profiler:
        step()
        if kind == "cuda":
            torch.cuda.synchronize()
    attribute = "self_device_time_total" if kind == "cuda" else "self_cpu_time_total"
    # Kernels have events of their own; they count once, with the operator that launched them.
    events = [e for e in profiler.key_averages() if e.device_type == torch.autograd.DeviceType.CPU]
    return {e.key: getattr(e, attribute) / 1e6 for e in events if getattr(e, attribute) > 0}


def _median(runs: list[dict[str, float]], name: str) -> float:
    return statistics.median(run.get(name, 0.0) for run in runs)

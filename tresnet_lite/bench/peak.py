"""The most memory that a step holds at once."""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate

import torch
from torch import Tensor, nn

from tresnet_lite.bench.steps import training_step


def training_peak(model: nn.Module, images: Tensor, dtype: str = "float32") -> int:
    """The most bytes that a warm training step holds above weights, momentum and images.

    Gradients count.

    Args:
        images, dtype: as `training_step` takes them.
    """
    step = training_step(model, images, dtype=dtype)
    step()  # the optimiser's buffers are made once
    model.zero_grad()  # else this step's gradients would only take the place of the last one's
    return peak_memory(step, images.device)


def peak_memory(step: Callable[[], object], device: torch.device | str = "cpu") -> int:
    """The most bytes that ``step`` holds at once above what was there before it.

    On a GPU the allocator's own peak; on a CPU the running sum of the profiler's allocations. What
    the step releases should be its own: what lay there before counts as less than nothing, where
    the profiler knows it at all.
    """
    device = torch.device(device)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        step()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    with torch.autograd.profiler.profile(profile_memory=True) as profile:
        step()
    # The public events give only an operator's net memory, and take longer to make than the step;
    # these tell each allocation (+) and release (-).
    events = [event for event in profile.kineto_results.events() if event.name() == "[memory]"]
    events.sort(key=lambda event: event.start_ns())
    return max(accumulate(event.nbytes() for event in events), default=0)

"""Where training's memory goes: what autograd keeps for backward, and a step's peak (paper §2.1 and §2.2.2)."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Kept:
    """One storage that autograd keeps.

    Attributes:
        module: path of the module whose forward kept it first, such as ``body.layer3.4.conv2.bn``.
        kind: that module's class, such as ``InPlaceABN``.
        shape, dtype: of the tensor through which it was kept.
        bytes: of the whole storage.
    """

    module: str
    kind: str
    shape: tuple[int, ...]
    dtype: torch.dtype
    bytes: int

    @property
    def stage(self) -> str:
        """``stem``, ``layer1`` … ``layer4`` or ``head`` for our networks; else the module's first name."""
        names = self.module.split(".")
        if names[0] == "body" and len(names) > 1:
            return names[1] if names[1].startswith("layer") else "stem"
        return names[0]


def kept_for_backward(model: nn.Module, x: Tensor) -> list[Kept]:
    """What a forward of ``model`` on ``x`` keeps for its backward, each storage once, the parameters left out.

    The forward really runs, in the mode and under the autocast that the caller has set; on the meta device it costs
    nothing. The input counts where a layer keeps it.

    Args:
        x: a batch of images, (B, C, H, W).
    """
    own = {_storage(t) for t in (*model.parameters(), *model.buffers())}
    kept: dict[int, Kept] = {}
    alive = []  # a freed storage's address would be given out again
    with _current_module(model) as current:

        def pack(tensor: Tensor) -> Tensor:
            key = _storage(tensor)
            if key not in own and key not in kept:
                name, kind = current()
                kept[key] = Kept(name, kind, tuple(tensor.shape), tensor.dtype, tensor.untyped_storage().nbytes())
                alive.append(tensor.detach())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            output = model(x)
    del output
    return list(kept.values())


def bytes_per_image(
    model: nn.Module, make_images: Callable[[int], Tensor], batches: tuple[int, int] = (2, 4)
) -> dict[tuple[str, str], float]:
    """Bytes kept for each further image, by (stage, kind of module): the slope between two batch sizes.

    The slope leaves out what is kept once, such as the half-precision copies of the weights under autocast.

    Args:
        make_images: batch size → images.
    """
    totals: list[dict[tuple[str, str], float]] = []
    for batch in batches:
        total: dict[tuple[str, str], float] = {}
        for kept in kept_for_backward(model, make_images(batch)):
            total[kept.stage, kept.kind] = total.get((kept.stage, kept.kind), 0.0) + kept.bytes
        totals.append(total)
    few, many = totals
    return {key: (many[key] - few.get(key, 0.0)) / (batches[1] - batches[0]) for key in many}


def peak_memory(step: Callable[[], object], device: torch.device | str = "cpu") -> int:
    """The most bytes that ``step`` holds at once above what was there before it.

    On a GPU the allocator's own peak; on a CPU the running sum of the profiler's allocations.
    """
    device = torch.device(device)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        step()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        step()
    # The public events give an operator's net memory alone; these tell each allocation (+) and release (-).
    changes = (event for event in profile.profiler.kineto_results.events() if event.name() == "[memory]")
    held = accumulate(event.nbytes() for event in sorted(changes, key=lambda event: event.start_ns()))
    return max(held, default=0)


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata  # the storage's identity, on the meta device too


@contextmanager
def _current_module(model: nn.Module) -> Iterator[Callable[[], tuple[str, str]]]:
    """Tells (path, class name) of the innermost module whose forward is running."""
    stack: list[tuple[str, str]] = []
    handles = []
    for name, module in model.named_modules():
        here = (name, type(module).__name__)
        handles.append(module.register_forward_pre_hook(lambda *_, here=here: stack.append(here)))
        handles.append(module.register_forward_hook(lambda *_: (stack.pop(), None)[1], always_call=True))
    try:
        yield lambda: stack[-1]
    finally:
        for handle in handles:
            handle.remove()

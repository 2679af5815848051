"""The memory that training takes: what a step holds, and the largest batch that fits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor, nn

from tresnet_lite.bench.batch_search import Largest, largest_batch, runs_in_memory
from tresnet_lite.bench.clock import cudnn_benchmark
from tresnet_lite.bench.peak import training_peak
from tresnet_lite.bench.steps import training_step
from tresnet_lite.bench.suites import Point
from tresnet_lite.counting.kept import training_memory
from tresnet_lite.counting.networks import build
from tresnet_lite.counting.trace import trace
from tresnet_lite.profiles import DTYPES

CONFIRM = 4  # full steps that the largest batch must survive
PRECISION = 0.01  # of the largest batch on a GPU; each further step of the search costs seconds


@dataclass
class TrainingMemory:
    """What training a network takes of its device's memory, batch by batch.

    Attributes:
        network: on the device.
        images: batch → images (batch, 3, H, W) there.
        dtype: as `training_step` takes it.
    """

    network: nn.Module
    images: Callable[[int], Tensor]
    dtype: str

    def train(self, batch: int, steps: int) -> None:
        """Take some training steps, to the end."""
        images = self.images(batch)
        step = training_step(self.network, images, dtype=self.dtype)
        for _ in range(steps):
            step()
        if images.is_cuda:
            torch.cuda.synchronize(images.device)

    def peak(self, batch: int) -> int:
        """The most bytes that a warm step holds: weights, momentum, images, maps, gradients."""
        images = self.images(batch)
        above = training_peak(self.network, images, self.dtype)
        if images.is_cuda:
            return torch.cuda.max_memory_allocated(images.device)  # since that step began
        weights = sum(p.nbytes for p in self.network.parameters())
        buffers = sum(b.nbytes for b in self.network.buffers())
        return 2 * weights + buffers + images.nbytes + above

    def index_limit(self) -> int:
        """The largest batch whose tensors have less than 2³¹ elements; many kernels refuse more."""
        calls = trace(self.network, tuple(self.images(1).shape[1:]))
        return (2**31 - 1) // max(prod(call.output) for call in calls)

    def largest_batch(
        self, device: torch.device, base: float, per_image: float, budget: int | None
    ) -> Largest:
        """The largest batch on a GPU, by trying; it has survived several full steps.

        The search starts from a good guess, because a step near the limit takes seconds. It is done
        without cuDNN's benchmark, which would time every convolution anew for each batch tried.

        Args:
            base, per_image: bytes that training is expected to hold, see `counted_memory`.
            budget: bytes that it may hold; None: all that the device has.
        """

        def fits(batch: int, steps: int = 2) -> bool:  # the first step makes the optimiser's state
            return runs_in_memory(lambda: self.train(batch, steps))

        with cudnn_benchmark(False):
            return self._search(fits, device, base, per_image, budget)

    def _search(
        self,
        fits: Callable[..., bool],
        device: torch.device,
        base: float,
        per_image: float,
        budget: int | None,
    ) -> Largest:
        limit = self.index_limit()
        free, total = torch.cuda.mem_get_info(device)
        room = min(free + torch.cuda.memory_reserved(device), budget or total) - base
        half = min(limit, max(2, int(room / per_image))) // 2
        while half > 1 and not fits(half):
            half //= 2
        guess = int(0.98 * half * room / (self.peak(half) - base))
        search = {"guess": min(limit, max(1, guess)), "precision": PRECISION, "limit": limit}
        return largest_batch(fits, **search, confirm=lambda batch: fits(batch, CONFIRM))


def counted_memory(point: Point) -> tuple[float, float]:
    """`training_memory` of a point's network, in the point's dtype throughout."""
    size, dtype = (3, point.resolution, point.resolution), DTYPES[point.dtype]
    with torch.device("meta"):
        network = build(point.model, norm=point.norm, memory=point.memory).to(dtype).train()
    return training_memory(network, lambda b: torch.empty(b, *size, device="meta", dtype=dtype))


def counted_batch(point: Point) -> int:
    """The largest batch that a point's `memory_budget` would hold, by `counted_memory`.

    Raises:
        ValueError: the point has no budget.
        torch.OutOfMemoryError: not even one image fits.
    """
    budget = point.memory_budget
    if budget is None:
        raise ValueError("on a CPU the largest batch needs a memory_budget in bytes")
    base, per_image = counted_memory(point)
    return largest_batch(lambda batch: base + batch * per_image <= budget).batch

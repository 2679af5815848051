"""The largest training batch that a memory holds, counted."""

from __future__ import annotations

import torch

from tresnet_lite.counting.kept import training_memory
from tresnet_lite.counting.networks import OURS, build
from tresnet_lite.predict.load import in_half_precision

GIB = 2**30


def largest_batch(name: str, side: int, memory_gib: float, norm: str | None = None) -> int:
    """Images of training that fit, by `training_memory`; 0 where not even one does.

    Args:
        norm: of our networks, as `counted_load` takes it; "published" keeps what the paper's did.
    """
    options = {"bn": {"norm": "bn"}, "published": {"memory": "paper"}}.get(norm or "", {})
    with torch.device("meta"):
        network = build(name, **(options if name in OURS else {})).train()

    def images(batch: int) -> torch.Tensor:
        return torch.empty(batch, 3, side, side, device="meta", dtype=torch.float16)

    base, per_image = training_memory(in_half_precision(network), images)
    return max(0, int((memory_gib * GIB - base) / per_image))

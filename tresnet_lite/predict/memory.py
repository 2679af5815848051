"""The largest training batch that a memory holds, counted."""

from __future__ import annotations

import torch

from tresnet_lite.counting.kept import bytes_per_image
from tresnet_lite.counting.networks import OURS, build
from tresnet_lite.predict.load import in_half_precision

GIB = 2**30


def largest_batch(name: str, side: int, memory_gib: float, norm: str | None = None) -> int:
    """Images of training that fit: weights, momentum and statistics once, then what backward keeps.

    Gradients and passing buffers are left out: where the activations are at their peak, the
    gradients of the weights have only begun to appear. 0 where not even one image fits.

    Args:
        norm: of our networks, as `counted_load` takes it; "published" keeps what the paper's did.
    """
    options = {"bn": {"norm": "bn"}, "published": {"memory": "paper"}}.get(norm or "", {})
    with torch.device("meta"):
        network = build(name, **(options if name in OURS else {})).train()
    numbers = 2 * sum(p.numel() for p in network.parameters())
    numbers += sum(b.numel() for b in network.buffers())
    network = in_half_precision(network)

    def images(batch: int) -> torch.Tensor:
        return torch.empty(batch, 3, side, side, device="meta", dtype=torch.float16)

    per_image = sum(bytes_per_image(network, images).values())
    return max(0, int((memory_gib * GIB - 4 * numbers) / per_image))

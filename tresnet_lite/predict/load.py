"""What a network's step asks of a device, operation by operation: MACs and bytes, counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from tresnet_lite.counting.published_abn import PublishedABN
from tresnet_lite.counting.traffic import MANY, StepOperation, step_operations

# Bytes per parameter and step beside the operations, in mixed precision with float32 weights.
# Inference casts the weights. Training casts weights (6) and gradients (6), unscales these (8), and
# does SGD's decay, momentum and step (12 each).
PARAMETER_BYTES = {"inference": 6, "training": 56}
NORMS = ("native_batch_norm", "native_batch_norm_backward")
PUBLISHED = ("published_abn", "published_abn_backward")
ATTENTION = ("_scaled_dot_product", "bmm", "_softmax")  # beginnings of names


@dataclass(frozen=True)
class Load:
    """A network's step in one phase at one image size, for any batch.

    Attributes:
        names: of the operations.
        macs, moved: per image and operation, (operations,).
        once: bytes per step and operation, such as weights.
        channels: (operations, 3): groups, inputs and outputs of a group; zeros where it is no
            convolution.
        activations: numbers per image that convolutions and matrix products write.
        parameters: of the network.
        phase: "inference" or "training".
        side: of the images, in pixels.
    """

    names: tuple[str, ...]
    macs: np.ndarray
    moved: np.ndarray
    once: np.ndarray
    channels: np.ndarray
    activations: int
    parameters: int
    phase: str
    side: int

    @property
    def parameter_bytes(self) -> int:
        """Bytes per step of the optimiser and of casts."""
        return PARAMETER_BYTES[self.phase] * self.parameters

    @property
    def depthwise(self) -> np.ndarray:
        """Which operations are depthwise convolutions: groups of one input."""
        groups, inputs, _ = self.channels.T
        return (groups > 1) & (inputs == 1)

    @property
    def has_attention(self) -> bool:
        return any(name.startswith(ATTENTION) for name in self.names)

    @property
    def has_batch_norm(self) -> bool:
        return any(name in NORMS + PUBLISHED for name in self.names)


def load_of(network: nn.Module, side: int, phase: str = "inference") -> Load:
    """The load of a network on the meta device, in half precision, on square images.

    The network's weights become float16, those of norms float32, as mixed precision computes.

    Raises:
        ValueError: the network is not on the meta device, or phase is unknown.
        Exception: what the network itself raises for such images.
    """
    if phase not in PARAMETER_BYTES:
        raise ValueError(f"phase {phase!r}: give one of {', '.join(PARAMETER_BYTES)}")
    network = in_half_precision(network)
    parameters = sum(p.numel() for p in network.parameters())
    operations = step_operations(network, (3, side, side), phase)
    return _load(operations, parameters, phase, side)


def in_half_precision(network: nn.Module) -> nn.Module:
    """The network, in place: float16, but float32 in batch norms, as mixed precision has them."""
    network.half()
    for module in network.modules():
        if hasattr(module, "running_mean") or isinstance(module, PublishedABN):
            module.float()
    return network


def _load(operations: Sequence[StepOperation], parameters: int, phase: str, side: int) -> Load:
    many = [operation.many for operation in operations]
    moved = [divmod(o.moved, MANY) for o in many]
    return Load(
        tuple(o.name for o in many),
        np.array([o.macs // MANY for o in many], dtype=float),
        np.array([each for each, _ in moved], dtype=float),
        np.array([once for _, once in moved], dtype=float),
        np.array([o.channels or (0, 0, 0) for o in many]).reshape(-1, 3),
        sum(o.written // MANY for o in many if o.macs) // torch.float16.itemsize,
        parameters,
        phase,
        side,
    )

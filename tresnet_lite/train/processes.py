"""The processes that train together under torchrun; without it, this one alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, distributed, nn

from tresnet_lite.records.device import find_device


def is_joined() -> bool:
    return distributed.is_available() and distributed.is_initialized()


def rank() -> int:
    """The number of this process among those that train together; 0 writes the files."""
    return distributed.get_rank() if is_joined() else 0


def count() -> int:
    """How many processes train together."""
    return distributed.get_world_size() if is_joined() else 1


@contextmanager
def joined(device: str | None = None) -> Iterator[torch.device]:
    """Join the processes that torchrun started, if any, until the end; gives this one's device.

    Args:
        device: "cuda" or "cpu"; None for the GPU where there is one.

    Raises:
        ValueError: no such device, or one that this torch cannot use.
    """
    alone = int(os.environ.get("WORLD_SIZE", 1)) < 2 or is_joined()
    name = device or ("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cuda" and not alone:
        name = f"cuda:{os.environ.get('LOCAL_RANK', 0)}"
    place = find_device(name)
    if place.index is not None:
        torch.cuda.set_device(place)  # what asks for "the GPU" means this one
    if alone:
        yield place
        return
    distributed.init_process_group("nccl" if place.type == "cuda" else "gloo")
    try:
        yield place
    finally:
        distributed.destroy_process_group()


def wait() -> None:
    """Until every process has come here."""
    if is_joined():
        distributed.barrier()


def total(values: Tensor) -> Tensor:
    """The sum over the processes, in place."""
    if is_joined():
        distributed.all_reduce(values)
    return values


def share_from_first(module: nn.Module) -> None:
    """Give every process the first one's parameters and statistics."""
    if is_joined():
        for tensor in module.state_dict().values():
            distributed.broadcast(tensor, 0)

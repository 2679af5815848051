"""The training loop of small networks on small images: SGD, momentum, one-cycle rate (§3.1)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tresnet_lite.model import TResNet
from tresnet_lite.profiles import DTYPES
from tresnet_lite.train.digits import Digits

TRAINING_BATCH = 64


def fit(
    network: nn.Module,
    data: Digits,
    steps: Sequence[Tensor],
    *,
    lr: float,
    weight_decay: float = 0.0,
    dtype: str = "float32",
) -> list[float]:
    """Train a network, in place and on the images' device, and return the loss of each step.

    Args:
        steps: for each step, which of the images to train on make its batch.
        lr: the learning rate's peak.
        dtype: a half precision means autocast.
    """
    device = data.labels.device
    network.to(device).train()
    optimizer = torch.optim.SGD(
        network.parameters(), lr=lr, momentum=0.9, weight_decay=weight_decay
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=lr, total_steps=len(steps))
    losses = []
    for batch in steps:
        images, labels = data.images[batch.to(device)], data.labels[batch.to(device)]
        with torch.autocast(device.type, DTYPES[dtype], enabled=dtype != "float32"):
            loss = F.cross_entropy(network(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.detach())  # to read it now would make a GPU wait
    return torch.stack(losses).tolist()


def train_small(
    network: TResNet,
    data: Digits,
    *,
    seed: int,
    epochs: int,
    images: int | None = None,
    batch: int = TRAINING_BATCH,
    lr: float = 0.2,
) -> TResNet:
    """Train in place, in an order drawn from the seed, and return the network in evaluation mode.

    Args:
        images: how many to train on; None for all. An epoch leaves out those that do not fill its
            last batch.
        lr: the learning rate's peak.
    """
    count = len(data.labels[:images])
    generator = torch.Generator().manual_seed(seed)
    steps: list[Tensor] = []
    for _ in range(epochs):
        order = torch.randperm(count, generator=generator)
        steps += order[: count // batch * batch].split(batch)
    fit(network, data, steps, lr=lr, weight_decay=1e-4)
    return network.eval()


@torch.no_grad()
def accuracy(network: nn.Module, data: Digits) -> float:
    """The share of the held-out images, in per cent, that the network gives their own class."""
    predictions = network.eval()(data.held_out_images).argmax(1)
    return 100 * (predictions == data.held_out_labels).double().mean().item()


@contextmanager
def one_thread() -> Iterator[None]:
    """While this lasts PyTorch computes on one thread of this process.

    A small network gains nothing from a second thread, and loses much if another program uses it.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)

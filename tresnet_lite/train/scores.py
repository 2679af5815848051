"""Accuracy on a data set, shared among processes, every image counted once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import Dataset

from tresnet_lite.train import processes
from tresnet_lite.train.reading import Unreadable, test_loader, watching_readers


@dataclass(frozen=True)
class Scores:
    """Accuracies in per cent of the images that could be read, and their mean cross-entropy."""

    top1: float
    top5: float
    loss: float
    images: int


@watching_readers()
@torch.no_grad()
def evaluate(
    model: nn.Module,
    dataset: Dataset,
    transform: Callable,
    *,
    batch: int = 64,
    device: str | torch.device = "cpu",
    workers: int = 0,
    half: torch.dtype | None = None,
    unreadable: Unreadable | None = None,
) -> Scores:
    """The accuracy of a model, in evaluation mode, on a data set of (PIL image, label).

    Under torchrun every process takes a part of the images, and all get the scores of the whole.

    Args:
        batch: images at once, in each process.
        half: the type of mixed precision; None for none.
        unreadable: counts what cannot be read; None for a hundred.

    Raises:
        TooManyUnreadable: more images cannot be read than `unreadable` tolerates.
        ReaderLost: a process that reads images was killed.
        ValueError: no image could be read.
    """
    device, unreadable = torch.device(device), unreadable or Unreadable()
    mine = range(processes.rank(), len(dataset), processes.count())
    ways = {"batch": batch, "workers": workers, "pin": device.type == "cuda"}
    loader = test_loader(dataset, transform, indices=mine, **ways)
    model.eval()
    # right, right among five, loss, images
    sums = torch.zeros(4, dtype=torch.float64, device=device)
    for images, labels, _, faults in loader:
        unreadable.note(faults)
        if len(labels):
            with torch.autocast(device.type, half, enabled=half is not None):
                logits = model(images.to(device, non_blocking=True)).float()
            sums += _sums(logits, labels.to(device))
    right, among_five, loss, images = processes.total(sums).tolist()
    if not images:
        raise ValueError("there is no image to evaluate on")
    return Scores(100 * right / images, 100 * among_five / images, loss / images, int(images))


def _sums(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """(4,): right, right among five, loss, images."""
    right = logits.topk(min(5, logits.shape[1]), dim=1).indices == labels[:, None]
    loss = F.cross_entropy(logits, labels, reduction="sum")
    sums = (right[:, 0].sum(), right.sum(), loss, torch.ones_like(labels).sum())
    return torch.stack([value.double() for value in sums])

"""scikit-learn's handwritten digits, which come with it: 1,797 scans of 8×8, enlarged to 32×32."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

SIDE = 32


@dataclass(frozen=True)
class Digits:
    """Images (N, 1, 32, 32) in [0, 1] and labels (N,), of which a quarter is held out."""

    images: Tensor
    labels: Tensor
    held_out_images: Tensor
    held_out_labels: Tensor


def digits(device: str | torch.device = "cpu") -> Digits:
    """The digits, shuffled once and for all."""
    from sklearn.datasets import load_digits

    scans = load_digits()
    order = torch.randperm(len(scans.target), generator=torch.Generator().manual_seed(0))
    small = torch.from_numpy(scans.images).float()[order, None] / 16  # (N, 1, 8, 8)
    images = F.interpolate(small, size=SIDE, mode="bilinear").to(device)
    labels = torch.from_numpy(scans.target)[order].to(device)
    split = len(labels) * 3 // 4
    return Digits(images[:split], labels[:split], images[split:], labels[split:])

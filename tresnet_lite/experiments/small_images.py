"""Small images to train on: digits, pieces of photographs, and CIFAR-10 where it can be had.

Each set is tensors in [0, 1] of 32×32 pixels, as `Digits` holds them. The first two come with
scikit-learn and scikit-image.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from tresnet_lite.experiments.photographs import SKIMAGE, SKLEARN, square
from tresnet_lite.train.data import load_data
from tresnet_lite.train.digits import SIDE, Digits, digits

SQUARE = 256  # side that a photograph is brought to before it is cut up
PIECES = 96  # to train on, from each photograph


def grey_photographs() -> dict[str, Tensor]:
    """Sixteen grey photographs (SQUARE, SQUARE) in [0, 1]: the largest central squares, resized."""
    squares = {name: np.array(square(name, SQUARE, "L")) for name in (*SKIMAGE, *SKLEARN)}
    return {name: torch.from_numpy(pixels).float() / 255 for name, pixels in squares.items()}


def photograph_pieces(device: str | torch.device = "cpu") -> Digits:
    """Pieces of photographs (N, 1, 32, 32), labelled with the photograph that they are from.

    To train on: random pieces of the left halves, which may overlap each other. Held out: the right
    halves, cut into a grid. No pixel is in both.
    """
    generator = torch.Generator().manual_seed(0)
    known, held_out = [], []
    for picture in grey_photographs().values():
        left, right = picture.split(SQUARE // 2, dim=1)
        places = [
            torch.randint(size - SIDE + 1, (PIECES,), generator=generator) for size in left.shape
        ]
        corners = torch.stack(places, 1).tolist()
        known.append(torch.stack([left[y : y + SIDE, x : x + SIDE] for y, x in corners]))
        held_out.append(right.unfold(0, SIDE, SIDE).unfold(1, SIDE, SIDE).reshape(-1, SIDE, SIDE))
    images, labels = _labelled(known)
    # so that the first few show every photograph
    order = torch.randperm(len(labels), generator=generator)
    tensors = (images[order], labels[order], *_labelled(held_out))
    return Digits(*(tensor.to(device) for tensor in tensors))


def _labelled(pieces: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Images (N, 1, H, W) and labels (N,) of a list of (n, H, W), a class each."""
    labels = torch.cat([torch.full((len(part),), label) for label, part in enumerate(pieces)])
    return torch.cat(pieces)[:, None], labels


def cifar10(device: str | torch.device = "cpu") -> Digits:
    """CIFAR-10 in colour, through torchvision.

    Raises:
        ConnectionError: it is neither at hand nor to be fetched.
    """
    cifar = load_data("cifar10")
    tensors = []
    for part in (cifar.train, cifar.test):
        pixels = torch.from_numpy(part.data).permute(0, 3, 1, 2).contiguous()
        tensors += [(pixels.float() / 255).to(device), torch.tensor(part.targets, device=device)]
    return Digits(*tensors)


SETS: dict[str, Callable[..., Digits]] = {
    "digits": digits,
    "photographs": photograph_pieces,
    "CIFAR-10": cifar10,
}


@cache
def load_images(name: str, device: str) -> Digits:
    """One of `SETS`, made once in a process."""
    return SETS[name](device)


def described(images: Mapping[str, Digits], missing: Mapping[str, str]) -> pd.DataFrame:
    """A line for each set: its sizes, or why it is not attempted.

    Columns: data, classes, train, held_out, weight (points of accuracy that one held-out image
    makes), frequent (the accuracy, %, of always guessing the most frequent class), status.
    """
    rows = []
    for name, part in images.items():
        counts = part.held_out_labels.bincount()
        held_out = len(part.held_out_labels)
        row = {
            "data": name,
            "classes": int((counts > 0).sum()),
            "train": len(part.labels),
            "held_out": held_out,
            "weight": 100 / held_out,
            "frequent": 100 * counts.max().item() / held_out,
            "status": "attempted",
        }
        rows.append(row)
    rows += [{"data": name, "status": f"not attempted: {why}"} for name, why in missing.items()]
    return pd.DataFrame(rows)

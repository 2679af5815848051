"""Small images to train the ladder on: scikit-learn's digits, pieces of photographs, and CIFAR-10
where it can be had.

Each set is tensors in [0, 1] of 32×32 pixels, as `Digits` holds them. The first two come with
packages.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from tresnet_lite.train.data import load_data
from tresnet_lite.train.digits import SIDE, Digits, digits

SQUARE = 256  # side that a photograph is brought to before it is cut up
PIECES = 96  # to train on, from each photograph

# Name → function of skimage.data; these photographs lie in the package itself, the others it would
# have to fetch.
SKIMAGE = {
    name: name
    for name in (
        "astronaut",
        "brick",
        "camera",
        "chelsea",
        "coffee",
        "coins",
        "grass",
        "gravel",
        "moon",
        "retina",
    )
} | {
    "deep field": "hubble_deep_field",
    "rocket": "rocket",
    "text": "text",
    "tissue": "immunohistochemistry",
}
SKLEARN = ("china", "flower")


def photographs() -> dict[str, Tensor]:
    """Sixteen photographs, grey, (SQUARE, SQUARE) in [0, 1]: the largest central squares, brought
    to one size.
    """
    from PIL import Image, ImageOps
    from skimage import data
    from sklearn.datasets import load_sample_image

    shipped = {name: getattr(data, function)() for name, function in SKIMAGE.items()}
    shipped |= {name: load_sample_image(f"{name}.jpg") for name in SKLEARN}
    grey = {name: Image.fromarray(pixels).convert("L") for name, pixels in shipped.items()}
    fitted = {
        name: ImageOps.fit(image, (SQUARE, SQUARE), Image.Resampling.BICUBIC)
        for name, image in grey.items()
    }
    return {name: torch.from_numpy(np.array(image)).float() / 255 for name, image in fitted.items()}


def photograph_pieces(device: str | torch.device = "cpu") -> Digits:
    """Pieces of photographs (N, 1, 32, 32), labelled with the photograph that they are from.

    To train on: random pieces of the left halves, which may overlap each other. Held out: the right
    halves, cut into a grid. No pixel is in both.
    """
    generator = torch.Generator().manual_seed(0)
    known, held_out = [], []
    for picture in photographs().values():
        left, right = picture.split(SQUARE // 2, dim=1)
        tops, lefts = (
            torch.randint(n - SIDE + 1, (PIECES,), generator=generator).tolist() for n in left.shape
        )
        known.append(
            torch.stack(
                [left[t : t + SIDE, x : x + SIDE] for t, x in zip(tops, lefts, strict=True)]
            )
        )
        held_out.append(right.unfold(0, SIDE, SIDE).unfold(1, SIDE, SIDE).reshape(-1, SIDE, SIDE))
    images, labels = _labelled(known)
    # so that the first few show every photograph
    order = torch.randperm(len(labels), generator=generator)
    parts = (images[order], labels[order], *_labelled(held_out))
    return Digits(*(part.to(device) for part in parts))


def _labelled(pieces: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Images (N, 1, H, W) and labels (N,) of a list of (n, H, W), a class each."""
    labels = torch.cat([torch.full((len(found),), label) for label, found in enumerate(pieces)])
    return torch.cat(pieces)[:, None], labels


def cifar10(device: str | torch.device = "cpu") -> Digits:
    """CIFAR-10 in colour, through torchvision. Raises ConnectionError where it is neither at hand
    nor to be fetched.
    """

    found = load_data("cifar10")
    tensors = []
    for part in (found.train, found.test):
        pixels = torch.from_numpy(part.data).permute(0, 3, 1, 2).contiguous()
        tensors += [(pixels.float() / 255).to(device), torch.tensor(part.targets, device=device)]
    return Digits(*tensors)


SETS: dict[str, Callable[..., Digits]] = {
    "digits": digits,
    "photographs": photograph_pieces,
    "CIFAR-10": cifar10,
}


def described(found: Mapping[str, Digits], missing: Mapping[str, str]) -> pd.DataFrame:
    """A line for each set: its sizes, or why it is not attempted.

    Columns: data, classes, train, held_out, weight (points of accuracy that one held-out image
    makes), frequent (the accuracy, %, of always guessing the most frequent class), status.
    """

    rows = []
    for name, images in found.items():
        held_out = images.held_out_labels
        row = {
            "data": name,
            "classes": len(held_out.unique()),
            "train": len(images.labels),
            "held_out": len(held_out),
        }
        row |= {
            "weight": 100 / len(held_out),
            "frequent": 100 * held_out.bincount().max().item() / len(held_out),
        }
        rows.append(row | {"status": "attempted"})
    return pd.DataFrame(
        rows + [{"data": name, "status": f"not attempted: {why}"} for name, why in missing.items()]
    )

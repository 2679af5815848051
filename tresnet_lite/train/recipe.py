"""The recipe of §3.1 and §3.3 as one frozen dataclass, and the named ones in one plain dict.

The paper names the ingredients and few of the quantities, and its training code was not released.
What the text does not state is decided here and marked so.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from torchvision.transforms import Compose

from tresnet_lite.train.overrides import check_types, nearest, with_overrides
from tresnet_lite.transforms import eval_transform, train_transform


@dataclass(frozen=True)
class Recipe:
    """How a network is trained; by default as the paper trains TResNet and ResNet50 (§3.1).

    Attributes:
        epochs: 300 (§3.1).
        size: side of the training images in pixels, 224 (§3.1).
        batch: images per step, over all processes and accumulated parts. Not stated.
        lr: the learning rate's peak, for that batch. Not stated: 0.1 for each 256 images, as is
            usual for SGD.
        schedule: "1cycle" (§3.1): up and down once, momentum down and up. "step": a tenth after one
            and two thirds.
        rise: the part of the run in which 1-cycle's rate rises. Not stated: PyTorch's default.
        momentum, momentum_low: momentum where the rate is low and where it peaks. Not stated:
            Smith's 0.95 and 0.85. "step" uses `momentum` throughout.
        nesterov: Nesterov's momentum. The text says "SGD" and no more: off.
        weight_decay: not stated. 1e-3, since decoupled decay is not multiplied by 1 / (1 -
            momentum) as L2 in the gradient is: it shrinks weights as fast as the usual L2 of 1e-4
            under momentum 0.9.
        decoupled: "true weight decay" (§3.1): a step shrinks weights by lr · weight_decay. False:
            L2 in the gradient.
        spare_norms: no decay for norms and biases. Not stated; usual.
        label_smoothing: named in §3.1, its amount not stated: 0.1 as in the work cited there.
        autoaugment: AutoAugment's policy (§3.1): "imagenet", "cifar10", "svhn" or "off".
        cutout: the probability that a square of an image is blanked (§3.1, without settings: not
            stated).
        cutout_area: the square's part of the image. Not stated.
        crop_area: the least part of an image that a random crop shows; 1 shows all of it. Not
            stated: the usual 0.08.
        flip: mirror every other image. Not stated.
        standardise: subtract ImageNet's mean and divide by its std; the paper leaves pixels in [0,
            1] (§3.1).
        ema: decay of the weights' moving average, which is evaluated in their place; 0 for none.
            Not in the text.
        amp: mixed precision (table 3): "auto" is float16 on a GPU and off on a CPU.
        squash: how images are evaluated: resized to a square (True) or cropped (False); None as the
            authors did, squash from 448 pixels on.

    Raises:
        ValueError: a value out of its range.
    """

    epochs: int = 300
    size: int = 224
    batch: int = 1024
    lr: float = 0.4
    schedule: Literal["1cycle", "step"] = "1cycle"
    rise: float = 0.3
    momentum: float = 0.95
    momentum_low: float = 0.85
    nesterov: bool = False
    weight_decay: float = 1e-3
    decoupled: bool = True
    spare_norms: bool = True
    label_smoothing: float = 0.1
    autoaugment: Literal["imagenet", "cifar10", "svhn", "off"] = "imagenet"
    cutout: float = 0.5
    cutout_area: float = 0.25
    crop_area: float = 0.08
    flip: bool = True
    standardise: bool = False
    ema: float = 0.9999
    amp: Literal["auto", "float16", "bfloat16", "off"] = "auto"
    squash: bool | None = None

    def __post_init__(self) -> None:
        check_types(self)  # a number given as text, or a misspelt word, would fail hours later
        for name in ("epochs", "size", "batch"):
            _check(name, getattr(self, name) >= 1, "at least 1", self)
        _check("size", self.size <= 4096, "at most 4096", self)  # one may come with a checkpoint
        for name in ("lr", "cutout_area", "crop_area"):
            _check(name, getattr(self, name) > 0, "above 0", self)
        for name in ("cutout", "cutout_area", "crop_area"):
            _check(name, 0 <= getattr(self, name) <= 1, "at most 1", self)
        for name in ("momentum", "momentum_low", "label_smoothing", "ema"):
            _check(name, 0 <= getattr(self, name) < 1, "in [0, 1)", self)
        _check("rise", 0 < self.rise < 1, "between 0 and 1", self)
        _check("weight_decay", self.weight_decay >= 0, "not negative", self)
        below = f"at most momentum, {self.momentum}"
        _check("momentum_low", self.momentum_low <= self.momentum, below, self)
        good = not self.nesterov or self.momentum_low > 0
        _check("nesterov", good, "off where momentum is 0", self)

    def train_transform(self, channels: int = 3) -> Compose:
        """PIL image → randomly augmented (channels, size, size) tensor."""
        names = ("autoaugment", "cutout", "cutout_area", "crop_area", "flip", "standardise")
        settings = {name: getattr(self, name) for name in names}
        return train_transform(self.size, channels=channels, **settings)

    def eval_transform(self, channels: int = 3) -> Compose:
        """PIL image → (channels, size, size) tensor, nothing random."""
        settings = {"squash": self.squash, "standardise": self.standardise}
        return eval_transform(self.size, channels=channels, **settings)


def _check(name: str, good: bool, what: str, recipe: Recipe) -> None:
    if not good:
        raise ValueError(f"{name} is {getattr(recipe, name)}: it must be {what}")


IMAGENET = Recipe()
SMALL_IMAGES = replace(IMAGENET, epochs=20, size=32, batch=64, lr=0.2, squash=True)
RECIPES: dict[str, Recipe] = {
    "imagenet": IMAGENET,
    # §3.3: ten epochs from weights trained at 224. A tenth of the rate per image, and the shorter
    # average, are ours.
    "imagenet_448": replace(IMAGENET, epochs=10, size=448, batch=512, lr=0.02, ema=0.999),
    # Ours, for small images: the same ingredients, with the policy that AutoAugment's authors found
    # for CIFAR.
    "cifar": replace(
        SMALL_IMAGES, epochs=40, batch=256, autoaugment="cifar10", crop_area=0.6, ema=0.999
    ),
    # Ours: minutes on a CPU. A mirrored digit is another digit or none; the policy is the one for
    # house numbers.
    "digits": replace(
        SMALL_IMAGES, autoaugment="svhn", cutout_area=0.1, crop_area=0.7, flip=False, ema=0.99
    ),
}

# The ingredients of §3.1, and what takes each of them out.
INGREDIENTS: dict[str, dict[str, Any]] = {
    "1-cycle": {"schedule": "step"},
    "true weight decay": {"decoupled": False, "weight_decay": 1e-4},
    "AutoAugment": {"autoaugment": "off"},
    "Cutout": {"cutout": 0.0},
    "label smoothing": {"label_smoothing": 0.0},
    "pixels in [0, 1]": {"standardise": True},
    "moving average": {"ema": 0.0},
}


def make_recipe(name: str, **overrides: Any) -> Recipe:
    """A named recipe with some fields replaced, by values or by texts of a command line.

    Raises:
        ValueError: no such recipe or field (the message names the nearest), or a wrong value.
    """
    if name not in RECIPES:
        raise ValueError(f"no recipe {name!r}; {nearest(name, RECIPES)}")
    return with_overrides(RECIPES[name], overrides)

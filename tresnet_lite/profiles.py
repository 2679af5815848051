"""How much a notebook runs: the three profiles, and a notebook's own settings on top of one."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

import torch


@dataclass(frozen=True)
class Training:
    """How many small networks a chapter trains of each kind, and for how long."""

    seeds: int  # each draws the weights and the order of the images
    epochs: int
    images: int | None = None  # to train on; None for all
    minutes: float | None = None  # begin no network after that; None for no limit


@dataclass(frozen=True)
class Profile:
    """How much to run, and on what: all that depends on the profile is a field of it."""

    name: str
    device: str  # what is measured, "cpu" or "cuda"
    image_size: int  # side in pixels; the paper's is 224, and claims are judged at that alone
    batch: int  # images per step
    dtype: str  # a half precision means autocast (the paper's "mixed precision")
    repeats: int  # timed blocks at least, which give median and quartiles
    min_block: float  # seconds that one timed block lasts at least
    max_seconds: float  # after which a noisy measurement ends all the same, for each function timed
    width: int = 64  # channels of the first stage in a chapter's variations on TResNet-M
    processes: int = 3  # that repeat each comparison, for its interval; three are the fewest
    trial: bool = False  # only shows that everything runs: fewer points, and numbers with a caveat
    minutes: float | None = None  # of a chapter's campaign; None measures all
    shift_seeds: int = 5  # random networks that see shifted images
    shift_width: int = 64  # channels of their first stage
    gates: Training = Training(seeds=5, epochs=6)  # for the chapter on squeeze-and-excitation
    recipe: Training = Training(seeds=5, epochs=20, minutes=10)  # for the one on training
    ladder: Training = Training(seeds=20, epochs=6)  # for the one on Table 4's accuracies
    cifar: Training | None = Training(seeds=10, epochs=10)  # the same on CIFAR-10, or not at all

    def __str__(self) -> str:
        images = f"{self.image_size} px, batches of {self.batch}, {self.dtype}"
        return f"{self.name}: {images} on {self.device}, {self.repeats} timed blocks or more"

    @property
    def caveat(self) -> str:
        """What must stand beside this profile's numbers."""
        return f"a {self.name} run: too short and too small to conclude from" if self.trial else ""


GPU = Profile("gpu", "cuda", 224, 128, "float16", repeats=20, min_block=0.1, max_seconds=5.0)
CPU = replace(
    GPU,
    name="cpu",
    device="cpu",
    batch=4,
    dtype="float32",
    repeats=5,
    max_seconds=2.0,
    processes=5,  # whose ratios differ more than a GPU's
    minutes=8.0,
    shift_seeds=2,
    shift_width=16,
    gates=Training(seeds=3, epochs=6),
    recipe=Training(seeds=3, epochs=4, minutes=1.4),
    ladder=Training(seeds=5, epochs=4),
    cifar=None,
)
SMOKE = replace(
    CPU,
    name="smoke",
    image_size=64,
    batch=2,
    repeats=3,
    min_block=0.01,
    max_seconds=0.1,
    width=8,  # at this size weights alone would take most of the time
    processes=1,
    trial=True,
    minutes=0.3,
    shift_seeds=1,
    gates=Training(seeds=1, epochs=4),
    recipe=Training(seeds=1, epochs=1, images=192),
    ladder=Training(seeds=2, epochs=1, images=256),
)
PROFILES = {profile.name: profile for profile in (SMOKE, CPU, GPU)}


def resolve(
    name: str,
    *,
    image_size: int | None = None,
    batch: int | None = None,
    repeats: int | None = None,
    device: str = "auto",
) -> Profile:
    """A profile with settings of one's own; None and "auto" leave them to the profile.

    Raises:
        ValueError: an unknown profile, an image that a stem cannot take, or no such device.
    """
    if name not in PROFILES:
        raise ValueError(f"unknown profile {name!r}: there are {', '.join(PROFILES)}")
    settings: dict[str, Any] = {"image_size": image_size, "batch": batch, "repeats": repeats}
    if device != "auto":
        settings["device"] = device
    changes = {key: value for key, value in settings.items() if value is not None}
    for key, value in changes.items():
        if key != "device" and (type(value) is not int or value < 1):
            raise ValueError(f"{key} must be a whole number, 1 or more, got {value!r}")
    profile = replace(PROFILES[name], **changes)
    size, images = profile.image_size, profile.batch
    if size % 32 or size < 32:
        raise ValueError(f"image_size must be a multiple of 32, all strides together, got {size}")
    if images < 2:
        raise ValueError(f"batch must be at least 2, as batch norm needs in training, got {images}")
    if profile.repeats < 3:  # which quartiles take
        raise ValueError(f"repeats must be at least 3, got {profile.repeats}")
    if not re.fullmatch(r"cpu|cuda(:\d+)?", str(profile.device)):
        raise ValueError(f"there is no device {profile.device!r}: give 'cuda', 'cuda:1' or 'cpu'")
    if torch.device(profile.device).type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"torch {torch.__version__} sees no CUDA device: use 'cpu' or a Colab GPU")
    return profile


DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

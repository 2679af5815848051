"""How much a notebook runs: the three profiles, and a notebook's own settings on top of one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch


@dataclass(frozen=True)
class Training:
    """How many small networks a chapter trains of each kind, and for how long."""

    seeds: int  # each draws the weights and the order of the images
    epochs: int
    images: int | None = None  # to train on; None for all
    minutes: float | None = None  # begin no network after that; None for no end


@dataclass(frozen=True)
class Profile:
    """How much to run, and on what: all that depends on the profile is a field of it.

    Attributes:
        name: "smoke", "cpu" or "gpu".
        device: what is measured, "cpu" or "cuda".
        image_size: side of the images in pixels. The paper's is 224; claims are judged at that size
            alone.
        batch: images a step.
        dtype: a half precision means autocast (the paper's "mixed precision").
        repeats: timed blocks at least, which give median and quartiles.
        min_block: seconds that one timed block lasts at least.
        max_seconds: after which a noisy measurement ends all the same, for each function timed.
        width: channels of the first stage in the variations on TResNet-M that a chapter times; its
            own are 64. Fewer in a smoke run, since at its size weights alone take most of the time.
        trial: only shows that everything runs: fewer points, and numbers with a caveat.
        minutes: of a chapter's campaign; None to measure all.
        shift_seeds, shift_width: random networks that see shifted images, and their `width`.
        gates, recipe, ladder, cifar: the small trainings of the chapters on squeeze-and-excitation,
            on training and on accuracy, the last with CIFAR-10 too, unless that is None.
    """

    name: str
    device: str
    image_size: int
    batch: int
    dtype: str
    repeats: int
    min_block: float
    max_seconds: float
    width: int = 64
    trial: bool = False
    minutes: float | None = None
    shift_seeds: int = 5
    shift_width: int = 64
    gates: Training = Training(seeds=5, epochs=6)
    recipe: Training = Training(seeds=5, epochs=20, minutes=6)
    ladder: Training = Training(seeds=20, epochs=6)
    cifar: Training | None = Training(seeds=10, epochs=10)

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
    minutes=2.4,
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
    width=8,
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
    profile = replace(PROFILES[name], **changes)
    if profile.image_size % 32 or profile.image_size < 32:
        raise ValueError(
            f"image_size must be a multiple of 32, all strides together, got {profile.image_size}"
        )
    if profile.batch < 2:
        raise ValueError(
            f"batch must be at least 2, as batch norm needs in training, got {profile.batch}"
        )
    if torch.device(profile.device).type == "cuda" and not torch.cuda.is_available():
        raise ValueError(
            "no CUDA device is visible: use profile 'smoke' or 'cpu', or on Colab a GPU runtime"
        )
    return profile


DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

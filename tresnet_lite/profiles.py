"""How much a notebook runs: the three profiles, and a notebook's own settings on top of one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch


@dataclass(frozen=True)
class Profile:
    """How much to measure, and on what.

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
        width: channels of the first stage, in the variations on TResNet-M that a chapter builds to
            time them; its own are 64. A smoke run takes less, since at its size weights alone take
            most of the time.
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

    def __str__(self) -> str:
        images = f"{self.image_size} px, batches of {self.batch}, {self.dtype}"
        return f"{self.name}: {images} on {self.device}, {self.repeats} timed blocks or more"

    @property
    def caveat(self) -> str:
        """What must stand beside this profile's numbers."""
        return (
            "a smoke run: too short and too small to conclude from" if self.name == "smoke" else ""
        )


PROFILES = {
    profile.name: profile
    for profile in (
        Profile(
            "smoke", "cpu", 64, 2, "float32", repeats=3, min_block=0.01, max_seconds=0.1, width=8
        ),
        Profile("cpu", "cpu", 224, 4, "float32", repeats=5, min_block=0.1, max_seconds=2.0),
        Profile("gpu", "cuda", 224, 128, "float16", repeats=20, min_block=0.1, max_seconds=5.0),
    )
}


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
        ValueError: an unknown profile, an image that a stem cannot take, or a device that is not
            there.
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
            "no CUDA device is visible: use profile 'smoke' or 'cpu', or on Colab choose a GPU"
            " runtime"
        )
    return profile


DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

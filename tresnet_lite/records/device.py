"""A device by its name: is it there, can this torch compute on it, and if not, what would help."""

from __future__ import annotations

import torch

from tresnet_lite.records import nvidia_smi

OLD_CARDS = "cu126"  # the builds of torch that still have code for cards older than the others take
BEFORE = (7, 5)  # the compute capability that all other builds begin with, from torch 2.11 on


def find_device(name: str | None = None) -> torch.device:
    """The device of a name, which has computed something; None: the GPU where there is one.

    Raises:
        ValueError: no such device, or one that this torch cannot use; the message says what to do.
    """
    name = name or ("cuda" if torch.cuda.is_available() else "cpu")
    kind, _, number = name.partition(":")
    if kind not in ("cuda", "cpu") or (number and not number.isdigit()):
        raise ValueError(f"there is no device {name!r}: give cuda, cuda:1 or cpu")
    if kind == "cuda":
        if not torch.cuda.is_available():
            raise ValueError(f"there is no GPU here ({missing_gpu()}): leave it out, or give cpu")
        count = torch.cuda.device_count()
        if int(number or 0) >= count:
            raise ValueError(f"there is no {name} here: {count} GPU(s), counted from 0")
        try_gpu(name)
    return torch.device(name)


def try_gpu(name: str = "cuda") -> None:
    """Compute something on a GPU.

    Raises:
        ValueError: it cannot; the message says why, and which torch can.
    """
    try:
        torch.ones(1, device=name).add_(1).item()
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        card = torch.cuda.get_device_name(name)
        if "no kernel image" in reason:
            reason = _no_code(torch.cuda.get_device_capability(name))
        raise ValueError(f"torch {torch.__version__} cannot use {card}: {reason}") from error


def _no_code(capability: tuple[int, int]) -> str:
    card = "sm_{}{}".format(*capability)
    has = f"it has no code for {card}, only for {', '.join(torch.cuda.get_arch_list())}"
    if capability >= BEFORE:
        return f"{has}; a newer torch may have it: make setup TORCH=…"
    version = torch.__version__.partition("+")[0]
    wheels = f"PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/{OLD_CARDS}"
    return f"{has}; {wheels} make setup TORCH={version}+{OLD_CARDS} installs a build for old cards"


def missing_gpu() -> str:
    """Why torch sees no GPU, in a line that names the card where nvidia-smi lists one."""
    cards = nvidia_smi.cards()
    if not cards:
        return "no CUDA device is visible"
    built = f"for CUDA {torch.version.cuda}" if torch.version.cuda else "without CUDA"
    why = f"nvidia-smi lists {cards[0]}, but torch {torch.__version__}, built {built}, sees no GPU"
    if torch.version.cuda is None:
        return f"{why}: install a build with CUDA"
    return f"{why}: is the driver too old for that CUDA, or CUDA_VISIBLE_DEVICES set?"

"""The profile that fits this machine: a GPU's only where this torch can compute on it."""

from __future__ import annotations

import subprocess
import sys
from functools import cache

import torch

from tresnet_lite.profiles import PROFILES
from tresnet_lite.records.device import missing_gpu

GPU_TRIAL = """
import torch
from tresnet_lite.records.device import try_gpu
print(torch.cuda.get_device_name(), flush=True)
try:
    try_gpu()
except ValueError as error:
    print(error)
"""


def choose_profile(requested: str | None = None) -> tuple[str, str]:
    """The profile, and the reason for it."""
    if requested is not None:
        return requested, "asked for"
    if not torch.cuda.is_available():
        return "cpu", missing_gpu()
    name, error = try_gpu()
    if error:
        return "cpu", error
    return "gpu", name


def check_profile(profile: str) -> None:
    """Refuse to measure on a GPU that is not there, or that this torch cannot use.

    Raises:
        ValueError: the message says why, and what would help.
    """
    if PROFILES[profile].device == "cpu":
        return
    error = try_gpu()[1] if torch.cuda.is_available() else missing_gpu()
    if error:
        raise ValueError(f"profile {profile} needs a GPU: {error}")


@cache
def try_gpu() -> tuple[str, str]:
    """The GPU's name, and what went wrong when it computed something, if anything did.

    Tried in a process of its own: this one would hold memory of the GPU until it ends, and the
    largest batches that the notebooks look for would come out smaller.
    """
    result = subprocess.run([sys.executable, "-c", GPU_TRIAL], capture_output=True, text=True)
    name, _, error = result.stdout.strip().partition("\n")
    if result.returncode:
        reason = (result.stderr.strip().splitlines() or ["it gave no reason"])[-1]
        error = f"torch {torch.__version__} cannot use the GPU: {reason}"
    return name or "the GPU", error

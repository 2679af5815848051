"""The profile that fits this machine: a GPU's only where this torch can compute on it."""

from __future__ import annotations

import subprocess
import sys
from functools import cache

import torch

GPU_TRIAL = """
import torch
print(torch.cuda.get_device_name(), flush=True)
try:
    torch.ones(1, device="cuda").add_(1).item()
except RuntimeError as error:
    print(str(error).splitlines()[0])
"""


def choose_profile(requested: str | None = None) -> tuple[str, str]:
    """The profile, and the reason for it."""
    if requested is not None:
        return requested, "asked for"
    if not torch.cuda.is_available():
        return "cpu", "no CUDA device is visible"
    name, error = try_gpu()
    if error:
        return "cpu", f"torch {torch.__version__} cannot use {name}: {error}"
    return "gpu", name


@cache
def try_gpu() -> tuple[str, str]:
    """The GPU's name, and what went wrong when it computed something, if anything did.

    Tried in a process of its own: this one would hold memory of the GPU until it ends, and the
    largest batches that the notebooks look for would come out smaller.
    """
    result = subprocess.run([sys.executable, "-c", GPU_TRIAL], capture_output=True, text=True)
    name, _, error = result.stdout.strip().partition("\n")
    if result.returncode:
        error = (result.stderr.strip().splitlines() or ["it gave no reason"])[-1]
    return name or "the GPU", error

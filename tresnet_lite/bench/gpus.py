"""The GPUs that a campaign was told to use, among those that this process was allotted."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

VISIBLE = "CUDA_VISIBLE_DEVICES"  # environment: a cluster lists here what it allotted


def allotted(gpus: Sequence[str]) -> list[str]:
    """CUDA's own names of GPUs: a number counts among those that are allotted, as torch counts.

    Args:
        gpus: numbers from 0, or names such as "GPU-…" and "MIG-…".

    Raises:
        ValueError: what names no GPU, one that is not allotted, or the same one twice.
    """
    listed = [name.strip() for name in os.environ.get(VISIBLE, "").split(",") if name.strip()]
    names = [_name(gpu.strip(), listed) for gpu in gpus]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"--gpus names GPU {', '.join(sorted(twice))} twice: name each once")
    return names


def _name(gpu: str, listed: Sequence[str]) -> str:
    if not re.fullmatch(r"\d+|(GPU|MIG)-[\w/-]+", gpu):
        raise ValueError(f"--gpus has {gpu!r}: give numbers from 0, or ids, such as 0,1,2")
    if not listed:
        return str(int(gpu)) if gpu.isdigit() else gpu
    if gpu.isdigit() and int(gpu) < len(listed):
        return listed[int(gpu)]
    if gpu in listed and not gpu.isdigit():
        return gpu
    count = f"{len(listed)} GPU(s), counted from 0"
    raise ValueError(f"GPU {gpu} is not among those allotted here: ${VISIBLE} lists {count}")

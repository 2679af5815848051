"""Freed memory, held: what a GPU's allocator does, and a CPU's does not."""

from __future__ import annotations

import ctypes
import platform

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # as malloc.h names them


def hold_freed_memory() -> bool:
    """Let this process keep the memory that it frees, as PyTorch does on a GPU; False if it can't.

    Otherwise each large map may be requested from the system again and cleared page by page, or may
    not, by chance. On a CPU that can take longer than the operation.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(_TRIM_THRESHOLD, 2**31 - 1) and mallopt(_MMAP_MAX, 0))

"""Autocast switched off for a few lines, on any device."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch


def without_autocast(x: torch.Tensor) -> AbstractContextManager[Any]:
    """A context in which operations on x's device run in the precision of their arguments."""
    # The meta device, where sizes are counted without computing, knows no autocast.
    return nullcontext() if x.is_meta else torch.autocast(x.device.type, enabled=False)

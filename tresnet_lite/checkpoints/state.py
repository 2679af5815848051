"""The state dict in what a training program saves: wrapped, under prefixes, or averaged too."""

import re
import reprlib
from collections.abc import Mapping
from typing import Any

import torch

from tresnet_lite.checkpoints.tensors import holds_numbers

# Where both are there, the moving average comes first, as it is what timm evaluates.
WRAPPERS = ("state_dict_ema", "model_ema", "state_dict", "model")
# What torch.compile and FSDP put before a part's name, and DistributedDataParallel before all.
PREFIXES = re.compile(r"^module\.|(?<![^.])(_orig_mod|_fsdp_wrapped_module)\.")
COUNTER = "n_averaged"  # of torch's AveragedModel, beside the weights

StateDict = dict[str, torch.Tensor]


def unwrap(checkpoint: Mapping[str, Any]) -> StateDict:
    """The state dict in a checkpoint's wrappers, its names without prefixes.

    Raises:
        ValueError: there is none, or names that without their prefixes are the same.
    """
    for _ in WRAPPERS:  # in a hostile file, one may hold itself
        inner = (checkpoint.get(wrapper) for wrapper in WRAPPERS)
        checkpoint = next((x for x in inner if isinstance(x, Mapping) and x), checkpoint)
    if not checkpoint or not all(_is_entry(key, value) for key, value in checkpoint.items()):
        raise ValueError(
            "this is not a checkpoint: expected parameter names with tensors, or a wrapper "
            f"({', '.join(WRAPPERS)}) around them; found the keys {reprlib.repr(list(checkpoint))}"
        )
    state = {plain_name(key): value for key, value in checkpoint.items()}
    if len(state) < len(checkpoint):
        raise ValueError("some names of the checkpoint differ only by prefixes such as module.")
    if COUNTER in state and any(key.startswith("module.") for key in checkpoint):
        del state[COUNTER]
    return state


def plain_name(key: str) -> str:
    """A parameter's name without the prefixes of wrapped and compiled networks, in any order."""
    while (plain := PREFIXES.sub("", key)) != key:
        key = plain
    return key


def _is_entry(key: Any, value: Any) -> bool:
    """A tensor of numbers under a name that an error can print."""
    named = isinstance(key, str) and key.isprintable() and len(key) <= 200
    return named and holds_numbers(value)

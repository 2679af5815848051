"""Keep a block's input alone and repeat its forward in backward (Chen et al. 2016)."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


class CheckpointedStage(nn.Sequential):
    """A sequence whose training keeps each member's input and nothing inside.

    The result is the same, with the least memory and one more forward. The repeated forward leaves
    the members' buffers alone, so that running statistics count each batch once.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not (self.training and torch.is_grad_enabled()):
            return super().forward(x)
        for block in self:
            x = checkpoint(block, x, **_options(block))
        return x


def _options(block: nn.Module) -> dict[str, Any]:
    options: dict[str, Any] = {"use_reentrant": False, "preserve_rng_state": False}
    # A compiler repeats operations, not updates of buffers, and takes no context of ours.
    if not torch.compiler.is_compiling():
        options["context_fn"] = lambda: (nullcontext(), _on_copies(block))
    return options


@contextmanager
def _on_copies(block: nn.Module) -> Iterator[None]:
    """Let whatever runs inside update copies of the block's buffers, which are then dropped."""
    buffers = [
        (module, name, buffer)
        for module in block.modules()
        for name, buffer in module.named_buffers(recurse=False)
    ]
    for module, name, buffer in buffers:
        module._buffers[name] = buffer.clone()
    try:
        yield
    finally:
        for module, name, buffer in buffers:
            module._buffers[name] = buffer

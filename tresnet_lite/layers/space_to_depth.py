"""SpaceToDepth: trade resolution for channels without losing a bit (paper §2.1 and appendix A)."""

import torch
from torch import nn


class _Patches(nn.Module):
    """What goes from patches of pixels to channels or back."""

    def __init__(self, block_size: int = 4) -> None:
        super().__init__()
        if block_size < 1:
            raise ValueError(f"block_size must be at least 1, got {block_size}")
        self.block_size = block_size

    def extra_repr(self) -> str:
        return f"block_size={self.block_size}"


class SpaceToDepth(_Patches):
    """Move each ``block_size`` × ``block_size`` patch of pixels into the channels (paper §2.1).

    Shapes: (B, C, H, W) → (B, C·b², H/b, W/b). Output channel ``(row·b + col)·C + c`` holds input
    channel ``c`` at position (row, col) of the patch, the order of the published weights
    (``nn.PixelUnshuffle`` has another one). The memory format of the input is kept, so that a
    channels-last network needs no conversion after its stem.

    Args:
        block_size: the side b of a patch in pixels; the paper uses 4.

    Raises:
        ValueError: when H or W is not a multiple of ``block_size``.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        b, (n, c, h, w) = self.block_size, x.shape
        if h % b or w % b:
            raise ValueError(
                f"height and width must be multiples of {b} to be cut into patches, got {h}×{w}"
            )
        patches = x.reshape(n, c, h // b, b, w // b, b)  # (B, C, H/b, row, W/b, col)
        if x.is_contiguous():
            return patches.permute(0, 3, 5, 1, 2, 4).reshape(n, c * b * b, h // b, w // b)
        # (B, H/b, W/b, row, col, C), as channels-last memory lies
        rows = patches.permute(0, 2, 4, 3, 5, 1)
        return rows.reshape(n, h // b, w // b, c * b * b).permute(0, 3, 1, 2)


class DepthToSpace(_Patches):
    """The inverse of :class:`SpaceToDepth`: (B, C·b², H, W) → (B, C, H·b, W·b).

    Raises:
        ValueError: when the channels are not a multiple of ``block_size``².
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        b, (n, c, h, w) = self.block_size, x.shape
        if c % (b * b):
            raise ValueError(
                f"the channels must be a multiple of {b}² = {b * b} to be laid out as patches,"
                f" got {c}"
            )
        patches = x.reshape(n, b, b, c // (b * b), h, w)  # (B, row, col, C, H, W)
        return patches.permute(0, 3, 4, 1, 5, 2).reshape(n, c // (b * b), h * b, w * b)

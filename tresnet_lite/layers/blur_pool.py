"""Anti-alias downsampling: blur before dropping every second pixel (paper §2.1, figure 2; Zhang 2019)."""

import torch
import torch.nn.functional as F
from torch import nn


class BlurPool2d(nn.Module):
    """Low-pass filter with [1, 2, 1] ⊗ [1, 2, 1] / 16, then keep every ``stride``-th pixel (paper §2.1, figure 2).

    Shapes: (B, C, H, W) → (B, C, ⌈H/stride⌉, ⌈W/stride⌉). The border is reflected, so H and W must be at least 2.
    The kernel is a buffer: it follows the module's device and dtype and stays out of the state dict. One 3×3 kernel
    serves any number of channels.

    Args:
        stride: the downsampling factor; the paper uses 2.

    Raises:
        ValueError: when H or W is 1: a single pixel has no neighbour to reflect.
    """

    kernel: torch.Tensor

    def __init__(self, stride: int = 2) -> None:
        super().__init__()
        if stride < 1:
            raise ValueError(f"stride must be at least 1, got {stride}")
        self.stride = stride
        binomial = torch.tensor([1.0, 2.0, 1.0]) / 4
        self.register_buffer("kernel", torch.outer(binomial, binomial)[None, None], persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        channels, height, width = x.shape[1:]
        if height < 2 or width < 2:
            raise ValueError(f"the blur reflects the border and needs at least 2×2 pixels, got {height}×{width}")
        x = F.pad(x, (1, 1, 1, 1), mode="reflect")
        return F.conv2d(x, self.kernel.expand(channels, 1, 3, 3), stride=self.stride, groups=channels)

    def extra_repr(self) -> str:
        return f"stride={self.stride}"

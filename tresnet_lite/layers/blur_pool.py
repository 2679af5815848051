"""Anti-alias downsampling: blur before dropping pixels (paper §2.1, figure 2; Zhang 2019)."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tresnet_lite.layers._autocast import without_autocast


class BlurPool2d(nn.Module):
    """Low-pass filter with [1, 2, 1] ⊗ [1, 2, 1] / 16, then keep every ``stride``-th pixel (§2.1).

    Shapes: (B, C, H, W) → (B, C, ⌈H/stride⌉, ⌈W/stride⌉). The border is reflected, so H and W must
    be at least 2. The kernel is a buffer: it follows the module's device and dtype and stays out of
    the state dict. One 3×3 kernel serves any number of channels.

    Args:
        stride: the downsampling factor; the paper uses 2.
        keep_input: True lets autograd keep the padded input for backward, as the published layer
            does. A fixed filter needs no input for its gradient, so False, with the same result,
            keeps nothing.

    Raises:
        ValueError: when H or W is 1: a single pixel has no neighbour to reflect.
    """

    kernel: Tensor

    def __init__(self, stride: int = 2, *, keep_input: bool = False) -> None:
        super().__init__()
        if stride < 1:
            raise ValueError(f"stride must be at least 1, got {stride}")
        self.stride, self.keep_input = stride, keep_input
        binomial = torch.tensor([1.0, 2.0, 1.0]) / 4
        kernel = torch.outer(binomial, binomial)[None, None]
        self.register_buffer("kernel", kernel, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        if height < 2 or width < 2:
            raise ValueError(
                f"the blur reflects the border and needs at least 2×2 pixels, got {height}×{width}"
            )
        if self.keep_input or not (self.training and torch.is_grad_enabled()):
            return blur(x, self.kernel, self.stride)
        with without_autocast(x):  # on a CPU it would pad, and return, in float32
            return Blur.apply(x, self.kernel.to(x.dtype), self.stride)

    def extra_repr(self) -> str:
        return f"stride={self.stride}, keep_input={self.keep_input}"


def blur(x: Tensor, kernel: Tensor, stride: int) -> Tensor:
    """Reflect the border of x (B, C, H, W), filter each channel with ``kernel`` (1, 1, 3, 3)."""
    channels = x.shape[1]
    x = F.pad(x, (1, 1, 1, 1), mode="reflect")
    return F.conv2d(x, kernel.expand(channels, 1, 3, 3), stride=stride, groups=channels)


class Blur(torch.autograd.Function):
    """:func:`blur` that keeps the kernel alone: a fixed linear map's gradient needs no input."""

    @staticmethod
    def forward(x: Tensor, kernel: Tensor, stride: int) -> Tensor:
        return blur(x, kernel, stride)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, int], output: Tensor) -> None:
        x, kernel, ctx.stride = inputs
        ctx.shape = x.shape
        ctx.save_for_backward(kernel)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, None, None]:
        (kernel,) = ctx.saved_tensors
        stride, channels = ctx.stride, dy.shape[1]
        # padded pixels that no step of the filter reached
        cut = [(size - 1) % stride for size in ctx.shape[2:]]
        weight = kernel.expand(channels, 1, 3, 3)
        dpadded = F.conv_transpose2d(dy, weight, stride=stride, output_padding=cut, groups=channels)
        x = dpadded[:, :, 1:-1, 1:-1]  # stands for it: only shape and memory format are read
        return torch.ops.aten.reflection_pad2d_backward(dpadded, x, [1, 1, 1, 1]), None, None

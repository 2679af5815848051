"""Global average pooling as one reduction (paper §2.2.3)."""

import torch
from torch import nn


class FastGlobalAvgPool2d(nn.Module):
    """Average each channel over all positions (paper §2.2.3).

    Shapes: (B, C, H, W) → (B, C), or (B, C, 1, 1) with ``flatten=False``. The paper flattens the
    positions with a view first; reducing both axes at once does the same.
    """

    def __init__(self, flatten: bool = True) -> None:
        super().__init__()
        self.flatten = flatten

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean((2, 3), keepdim=not self.flatten)

    def extra_repr(self) -> str:
        return f"flatten={self.flatten}"

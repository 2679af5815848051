"""Squeeze-and-excitation: the whole image weighs each channel (paper §2.1; Hu et al. 2018)."""

import torch
from torch import nn

from tresnet_lite.layers.fast_gap import FastGlobalAvgPool2d


class SqueezeExcite(nn.Module):
    """Scale each channel by a gate in (0, 1) computed from all channels' averages (figure 3).

    Shapes: (B, C, H, W) → (B, C, H, W). The two 1×1 convolutions work on (B, C, 1, 1).

    Args:
        channels: the channels C of the input.
        reduced_channels: the channels between the two convolutions, C / r for the paper's reduction
            factor r.
    """

    def __init__(self, channels: int, reduced_channels: int) -> None:
        super().__init__()
        if channels < 1 or reduced_channels < 1:
            raise ValueError(
                f"channels and reduced_channels must be positive, got {channels} and"
                f" {reduced_channels}"
            )
        self.squeeze = FastGlobalAvgPool2d(flatten=False)
        self.fc1 = nn.Conv2d(channels, reduced_channels, kernel_size=1)
        self.act = nn.ReLU(inplace=True)
        self.fc2 = nn.Conv2d(reduced_channels, channels, kernel_size=1)

    def gate(self, x: torch.Tensor) -> torch.Tensor:
        """The gate alone: (B, C, H, W) → (B, C, 1, 1), each value in (0, 1)."""
        return torch.sigmoid(self.fc2(self.act(self.fc1(self.squeeze(x)))))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.gate(x)

"""In-place activated batch normalisation (paper §2.1): batch norm and activation as one module."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ACTIVATIONS = ("leaky_relu", "identity", "relu", "elu")


class InPlaceABN(nn.Module):
    """Batch norm followed by an activation (paper §2.1, "Inplace-ABN")."""

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float = 0.1, affine: bool = True,
                 activation: str = "leaky_relu", activation_param: float = 0.01, *,
                 weight_sign: str = "abs", backend: str = "auto", group=None) -> None:
        super().__init__()
        if activation not in ACTIVATIONS:
            raise ValueError(f"unknown activation {activation!r}; choose from {', '.join(ACTIVATIONS)}")
        if weight_sign not in ("abs", "signed"):
            raise ValueError(f"weight_sign must be 'abs' or 'signed', not {weight_sign!r}")
        self.num_features, self.eps, self.momentum, self.affine = num_features, eps, momentum, affine
        self.activation, self.activation_param = activation, activation_param
        self.weight_sign, self.backend, self.group = weight_sign, "native", group
        self.weight = nn.Parameter(torch.ones(num_features)) if affine else None
        self.bias = nn.Parameter(torch.zeros(num_features)) if affine else None
        self.register_buffer("running_mean", torch.zeros(num_features))
        self.register_buffer("running_var", torch.ones(num_features))
        if weight_sign == "signed":
            self.register_buffer("num_batches_tracked", torch.tensor(0, dtype=torch.long))

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight
        if weight is not None and self.weight_sign == "abs":
            weight = weight.abs() + self.eps
        z = F.batch_norm(x, self.running_mean, self.running_var, weight, self.bias,
                         self.training, self.momentum, self.eps)
        if self.training and self.weight_sign == "signed":
            self.num_batches_tracked.add_(1)
        return _activate(z, self.activation, self.activation_param)


def _activate(z: Tensor, activation: str, param: float) -> Tensor:
    if activation == "leaky_relu":
        return F.leaky_relu(z, param)
    if activation == "relu":
        return F.relu(z)
    if activation == "elu":
        return F.elu(z, param)
    return z

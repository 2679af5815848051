"""Inplace-ABN (paper §2.1): batch norm and activation as one module, which keeps its output."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tresnet_lite.layers._abn_functions import (
    BatchNormLeaky,
    Norm,
    is_invertible,
    unrecoverable_channels,
)

ACTIVATIONS = ("leaky_relu", "identity", "relu", "elu")
BACKENDS = ("auto", "native", "mapillary")


class InPlaceABN(nn.Module):
    """Batch norm, then an activation, with about half the memory for backward.

    Shapes: (N, C, ...) → (N, C, ...). The activation and the affine map are inverted in backward,
    so the output, which the next layer keeps anyway, stands in for the input. Drop-in for the
    published module (arXiv:1712.02616).

    Args:
        num_features: C.
        eps: added to the variance; under ``weight_sign="abs"`` to |weight| too.
        momentum: share of the new batch in the running statistics.
        affine: whether there are a weight and a bias.
        activation: "leaky_relu", "identity", "relu" or "elu".
        activation_param: slope of leaky_relu for negative values, alpha of elu; not negative.
        weight_sign: "abs" scales by |weight| + eps (the published reading), "signed" by weight
            (BatchNorm's). State dicts are the published module's and BatchNorm's;
            ``num_batches_tracked`` may be missing or left over.
        backend: "native" (PyTorch alone), "mapillary" (the ``inplace-abn`` package) or "auto"
            (native).
        group: process group over whose joined batch the statistics are taken; None for this process
            alone.

    What is kept: leaky_relu keeps its output, and the input of the channels that can't be read back
    from it (|weight| < 0.001 or |weight| < |bias| / 16), so that gradients hold for any weight,
    zero included. identity, relu and elu keep their input, as BatchNorm does: relu can't be
    inverted, elu loses its tail to rounding, and the identity gains nothing. So does leaky_relu in
    float16 with a slope under 0.001, which underflows.

    Those channels are found by ``train()``, when a state is loaded, when the module is moved, and
    at each step that runs eagerly on a CPU. Looking at the weights makes another device wait and
    breaks a compiled graph, so there call ``train()`` after setting weights by hand. A weight that
    gets too small in between has its gradient computed from an xhat that is bounded but wrong (0 at
    weight 0), until ``train()`` is called again.
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = True,
        activation: str = "leaky_relu",
        activation_param: float = 0.01,
        *,
        weight_sign: str = "abs",
        backend: str = "auto",
        group: Any = None,
    ) -> None:
        super().__init__()
        _check_choice("activation", activation, ACTIVATIONS)
        _check_choice("weight_sign", weight_sign, ("abs", "signed"))
        if activation_param < 0:
            raise ValueError(f"activation_param must not be negative, got {activation_param}")
        self.num_features, self.eps = num_features, eps
        self.momentum, self.affine = momentum, affine
        self.activation, self.activation_param = activation, activation_param
        self.weight_sign, self.group = weight_sign, group
        self.backend = _choose_backend(backend, activation, weight_sign)
        self.weight = nn.Parameter(torch.ones(num_features)) if affine else None
        self.bias = nn.Parameter(torch.zeros(num_features)) if affine else None
        self.register_buffer("running_mean", torch.zeros(num_features))
        self.register_buffer("running_var", torch.ones(num_features))
        if weight_sign == "signed":
            self.register_buffer("num_batches_tracked", torch.tensor(0, dtype=torch.long))
        # elu is the identity's batch norm, then elu: it keeps its input in any case.
        self._slope = {"leaky_relu": activation_param, "relu": 0.0}.get(activation, 1.0)
        self._spilled = torch.empty(0, dtype=torch.long)

    def forward(self, x: Tensor) -> Tensor:
        self._check_input(x)
        if self.backend == "mapillary":
            return self._forward_mapillary(x)
        return self._forward_training(x) if self.training else self._forward_eval(x)

    def _forward_eval(self, x: Tensor) -> Tensor:
        weight, bias = self._scale_and_shift(self.running_mean.dtype)
        z = F.batch_norm(x, self.running_mean, self.running_var, weight, bias, False, 0.0, self.eps)
        if self.activation == "elu":
            return F.elu_(z, self.activation_param)
        # kept where a gradient is wanted: that of torch's batch norm is wrong in some layouts
        return z if self._slope == 1 and not z.requires_grad else F.leaky_relu_(z, self._slope)

    def _forward_training(self, x: Tensor) -> Tensor:
        norm, spilled = self.training_arguments(x), self._channels_to_keep(x)
        y, mean, var, *_ = BatchNormLeaky.apply(x, *norm, self._slope, spilled)
        self.track(mean, var)
        return F.elu_(y, self.activation_param) if self.activation == "elu" else y

    def training_arguments(self, x: Tensor) -> tuple[Tensor, Tensor, Norm]:
        """What an operation needs to normalise x as this layer does: weight, bias and the rest.

        All come in the precision of the arithmetic: float32 where x is of a half type.
        """
        dtype = torch.float32 if x.dtype in (torch.float16, torch.bfloat16) else x.dtype
        running = self.running_mean.to(dtype), self.running_var.to(dtype)
        norm = Norm(*running, self.momentum, self.eps, self._process_group())
        return *self._scale_and_shift(dtype), norm

    def _forward_mapillary(self, x: Tensor) -> Tensor:
        from inplace_abn.functions import inplace_abn, inplace_abn_sync

        if x.dtype == torch.bfloat16 or (x.dtype == torch.float16 and not x.is_cuda):
            raise TypeError(
                f"backend 'mapillary' has no {x.dtype} on {x.device.type}; use backend 'native'"
            )
        group = self._process_group()
        function = inplace_abn if group is None else partial(inplace_abn_sync, group=group)
        state = self.weight, self.bias, self.running_mean, self.running_var
        rates = self.training, self.momentum, self.eps
        return function(x, *state, *rates, self.activation, self.activation_param)

    def _scale_and_shift(self, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        if self.weight is None or self.bias is None:
            ones = torch.ones_like(self.running_mean, dtype=dtype)
            return ones, torch.zeros_like(ones)
        weight: Tensor = self.weight
        if self.weight_sign == "abs":
            # abs() has gradient 0 at 0, which would freeze a weight that starts there.
            weight = torch.where(weight < 0, -weight, weight) + self.eps
        return weight.to(dtype), self.bias.to(dtype)

    @torch.no_grad()
    def track(self, mean: Tensor, var: Tensor) -> None:
        """Count the batch and take over the running statistics that an operation returned."""
        self.running_mean.copy_(mean)
        self.running_var.copy_(var)
        if self.weight_sign == "signed":
            self.num_batches_tracked.add_(1)

    def _channels_to_keep(self, x: Tensor) -> Tensor | None:
        """The channels whose input is kept; None for all of them."""
        if not is_invertible(self._slope, x.dtype):
            return None
        if x.is_cpu and not torch.compiler.is_compiling():
            return self.spilled_channels()
        return self._spilled.to(x.device)

    @torch.no_grad()
    def spilled_channels(self) -> Tensor:
        """Indices (K,) of the channels that can't be read back, as the weights are now."""
        # Tensors that hold no numbers ("meta", or fake ones while something is traced) have no
        # small ones.
        weight = self.weight
        if weight is None or type(weight) not in (Tensor, nn.Parameter) or weight.is_meta:
            return torch.empty(0, dtype=torch.long)
        return unrecoverable_channels(*self._scale_and_shift(torch.float32))

    def train(self, mode: bool = True) -> InPlaceABN:
        super().train(mode)
        self._spilled = self.spilled_channels()
        return self

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> InPlaceABN:
        super()._apply(fn, recurse)
        self._spilled = self.spilled_channels()
        return self

    def _load_from_state_dict(
        self, state_dict: Mapping[str, Tensor], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        state = dict(state_dict)
        counter = prefix + "num_batches_tracked"
        if self.weight_sign == "signed":
            state.setdefault(counter, self.num_batches_tracked)
        else:
            state.pop(counter, None)
        super()._load_from_state_dict(state, prefix, *args, **kwargs)
        self._spilled = self.spilled_channels()

    def _process_group(self) -> Any:
        return self.group

    def __deepcopy__(self, memo: dict[int, Any]) -> InPlaceABN:
        memo[id(self.group)] = self.group  # a process group is shared; it can't be copied
        copied = self.__class__.__new__(self.__class__)
        memo[id(self)] = copied
        copied.__dict__ = copy.deepcopy(self.__dict__, memo)
        return copied

    def _check_input(self, x: Tensor) -> None:
        if x.dim() < 2 or x.shape[1] != self.num_features:
            raise ValueError(
                f"expected an input of shape (N, {self.num_features}, ...), got {tuple(x.shape)}"
            )
        if not x.is_floating_point():
            raise TypeError(f"expected a floating-point input, got {x.dtype}")
        if self.training and x.numel() == x.shape[1]:
            group = self._process_group()
            if group is None or torch.distributed.get_world_size(group) == 1:
                raise ValueError(
                    "Expected more than 1 value per channel when training, got input size"
                    f" {x.shape}"
                )

    def extra_repr(self) -> str:
        param = f"({self.activation_param})" if self.activation in ("leaky_relu", "elu") else ""
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine},"
            f" activation={self.activation}{param}, weight_sign={self.weight_sign},"
            f" backend={self.backend}"
        )


class InPlaceABNSync(InPlaceABN):
    """InPlaceABN over the joined batch of a process group; None is the default group."""

    def _process_group(self) -> Any:
        if not self.training:
            return None
        if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
            raise RuntimeError(
                "InPlaceABNSync trains in a process group: call"
                " torch.distributed.init_process_group"
            )
        return torch.distributed.group.WORLD if self.group is None else self.group


def synchronise_norms(model: nn.Module, group: Any = None) -> nn.Module:
    """Let every Inplace-ABN take its statistics over the joined batch of a process group.

    Changes the model in place and returns it; call it before wrapping the model in
    DistributedDataParallel.

    Args:
        group: the process group; None for all processes.

    Raises:
        RuntimeError: there are no processes to join.
    """
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        raise RuntimeError(
            "there is no process group: call torch.distributed.init_process_group first"
        )
    for module in model.modules():
        if isinstance(module, InPlaceABN):
            module.group = torch.distributed.group.WORLD if group is None else group
    return model


def convert_weight_sign(
    source: nn.Module | Mapping[str, Tensor], to: str, eps: float = 1e-5
) -> nn.Module | dict[str, Tensor]:
    """Rewrite norm weights from |weight| + eps ("abs") to weight ("signed") or back.

    The function of the norms stays the same.

    Args:
        source: a module, whose InPlaceABN layers are changed in place where they are in the other
            reading; or a state dict in the other reading: every weight that stands beside a
            running_mean is a norm's.
        to: "abs" or "signed".
        eps: the norms' eps, for a state dict; a module's layers use their own.

    Returns: the same module, or a new state dict.

    Raises ValueError where a weight below eps should become "abs": no |weight| + eps is that small.
    """
    _check_choice("to", to, ("abs", "signed"))
    if isinstance(source, nn.Module):
        return _convert_module(source, to)
    state = dict(source)
    for mean in [key for key in source if key.endswith("running_mean")]:
        prefix = mean.removesuffix("running_mean")
        if prefix + "weight" in state:
            state[prefix + "weight"] = _convert_weight(state[prefix + "weight"], to, eps, prefix)
        if to == "signed":
            state.setdefault(prefix + "num_batches_tracked", torch.tensor(0, dtype=torch.long))
        else:
            state.pop(prefix + "num_batches_tracked", None)
    return state


@torch.no_grad()
def _convert_module(module: nn.Module, sign: str) -> nn.Module:
    layers = {
        name: layer
        for name, layer in module.named_modules()
        if isinstance(layer, InPlaceABN) and layer.weight_sign != sign
    }
    # All is converted before the first weight is stored: a refusal leaves the module as it was.
    weights = {
        name: _convert_weight(layer.weight, sign, layer.eps, name)
        for name, layer in layers.items()
        if layer.weight is not None
    }
    for layer in layers.values():
        _choose_backend(layer.backend, layer.activation, sign)
    for name, layer in layers.items():
        if layer.weight is not None:
            layer.weight.copy_(weights[name])
        layer.weight_sign = sign
        if sign == "signed":
            counter = torch.tensor(0, dtype=torch.long, device=layer.running_mean.device)
            layer.register_buffer("num_batches_tracked", counter)
        else:
            del layer.num_batches_tracked
    return module


def _convert_weight(weight: Tensor, sign: str, eps: float, name: str) -> Tensor:
    if sign == "signed":
        return weight.abs() + eps
    channels = (weight < torch.tensor(eps, dtype=weight.dtype)).nonzero().squeeze(1).tolist()
    if channels:
        raise ValueError(
            f"{name or 'weight'}: channels {channels} have weights below eps = {eps}, which"
            " |weight| + eps can't be; keep weight_sign='signed'"
        )
    return weight - eps


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, got {value!r}")


def _choose_backend(backend: str, activation: str, weight_sign: str) -> str:
    """The backend that will be used; an error where it can't be."""
    _check_choice("backend", backend, BACKENDS)
    if backend != "mapillary":
        return "native"
    try:
        import inplace_abn  # noqa: F401
    except ImportError as error:  # not installed, or built for another torch
        raise ImportError(
            f"backend 'mapillary' needs the package inplace-abn ({error}); build and install it"
            " with `python -m tresnet_lite.bench.install_iabn`, or use backend 'native'"
        ) from error
    if weight_sign == "signed" or activation == "relu":
        raise ValueError(
            "backend 'mapillary' scales by |weight| + eps and has no relu: it needs"
            f" weight_sign='abs' and another activation, got weight_sign={weight_sign!r},"
            f" activation={activation!r}"
        )
    return backend

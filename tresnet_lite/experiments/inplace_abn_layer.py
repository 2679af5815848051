"""Inplace-ABN as one layer (§2.1): how exactly its backward reads back, and what a call costs.

The records, suite "memory", case "layer": one norm and activation, forward and backward; PyTorch's,
ours, and the published package's where it is installed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import product

import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from tresnet_lite.bench import measure_many
from tresnet_lite.bench.clock import clock_options
from tresnet_lite.bench.compare import norm_backend
from tresnet_lite.counting.kept import kept_for_backward
from tresnet_lite.layers import InPlaceABN
from tresnet_lite.layers.residual_tail import residual_tail
from tresnet_lite.profiles import DTYPES, Profile
from tresnet_lite.records import Conditions, Record, collect

# x (N, C, H, W), weight (C,), bias (C,) → y like x
NormFunction = Callable[[Tensor, Tensor, Tensor], Tensor]

SLOPE = 1e-3  # as in the blocks of the published networks
GAMMAS = tuple(10 ** (-k / 3) for k in range(13))  # 1 down to 0.0001
PYTORCH = "BatchNorm2d, LeakyReLU"


# --- reading back


def inplace_abn(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The package's layer as a function: batch norm of x (N, C, H, W), then leaky ReLU."""
    layer = InPlaceABN(len(weight), activation_param=SLOPE, weight_sign="signed")
    return functional_call(layer, {"weight": weight, "bias": bias}, x)


def fused_tail(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The same function through a block's end: norm, a shortcut of zeros, leaky ReLU."""
    end = _BlockEnd(InPlaceABN(len(weight), activation="identity", weight_sign="signed"))
    return functional_call(end, {"bn.weight": weight, "bn.bias": bias}, x)


class _BlockEnd(nn.Module):
    def __init__(self, bn: InPlaceABN) -> None:
        super().__init__()
        self.bn = bn

    def forward(self, x: Tensor) -> Tensor:
        return residual_tail(x, torch.zeros_like(x), self.bn, nn.Identity(), nn.LeakyReLU(SLOPE))


def reference(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The same function by PyTorch's own operations, for autograd."""
    return F.leaky_relu(F.batch_norm(x, None, None, weight, bias, training=True), SLOPE)


def gradient_errors(
    layer: NormFunction, gamma: float, dtype: str, seed: int = 0, channels: int = 32
) -> tuple[float, float]:
    """Relative errors of dγ and dx against float64.

    For weights γ, biases in ±1, and x and dy normal, in `dtype`.
    """
    generator = torch.Generator().manual_seed(seed)
    shape = (8, channels, 16, 16)
    x, dy = (torch.randn(shape, generator=generator).to(DTYPES[dtype]) for _ in range(2))
    weight = torch.full((channels,), float(gamma))
    bias = 2 * torch.rand(channels, generator=generator) - 1

    def gradients(function: NormFunction, *inputs: Tensor) -> tuple[Tensor, ...]:
        x, weight, bias = (t.clone().requires_grad_() for t in inputs)
        return torch.autograd.grad(function(x, weight, bias), (weight, x), dy.to(x.dtype))

    exact = gradients(reference, x.double(), weight.double(), bias.double())
    ours = gradients(layer, x, weight, bias)
    # Where γ is 0, so is dx: there the error is given as it is.
    return tuple(
        ((o.double() - e).norm() / (e.norm() or 1)).item() for o, e in zip(ours, exact, strict=True)
    )


def precision_table(
    layers: Mapping[str, NormFunction], dtypes: Iterable[str], gammas: Sequence[float] = GAMMAS
) -> pd.DataFrame:
    """`gradient_errors` of several layers, the median of three draws.

    Columns: layer, dtype, gamma, dgamma, dx.
    """
    rows = []
    for name, dtype, gamma in product(layers, dtypes, gammas):
        for seed in range(3):
            dgamma, dx = gradient_errors(layers[name], gamma, dtype, seed)
            rows.append((name, dtype, gamma, dgamma, dx))
    draws = pd.DataFrame(rows, columns=["layer", "dtype", "gamma", "dgamma", "dx"])
    return draws.groupby(["layer", "dtype", "gamma"], as_index=False, sort=False).median()


def tails(
    plain: NormFunction, gammas: Sequence[float] = (1.0, 0.1, 0.01, 0.001, 0.0)
) -> pd.DataFrame:
    """Errors of dγ in bfloat16 by three ways; NaN where no number came out.

    Columns: gamma, plain_error, layer_error, tail_error.
    """
    ways = {"plain_error": plain, "layer_error": inplace_abn, "tail_error": fused_tail}
    errors = precision_table(ways, ["bfloat16"], gammas)
    wide = errors.pivot(index="gamma", columns="layer", values="dgamma")
    return wide.loc[list(gammas), list(ways)].reset_index()


# --- what a call keeps and costs


def norm_layers(device: str = "cpu", channels: int = 64) -> dict[str, nn.Module]:
    """Norm and leaky ReLU by PyTorch, by the package, and by `inplace-abn` where that works."""
    norm, activation = nn.BatchNorm2d(channels), nn.LeakyReLU(SLOPE, inplace=True)
    options = {"num_features": channels, "activation_param": SLOPE}
    layers = {
        PYTORCH: nn.Sequential(norm, activation),
        "InPlaceABN, native": InPlaceABN(**options, backend="native"),
    }
    try:
        published = InPlaceABN(**options, backend="mapillary").to(device)
        # One built for the CPU, or for another GPU, fails here. Its own launches check no error, so
        # a number is read back.
        output = published(torch.rand(2, channels, 2, 2, device=device))
        torch.autograd.grad(output.sum(), published.weight)[0].sum().item()
        layers["InPlaceABN, mapillary"] = published
    except (ImportError, RuntimeError) as error:
        print(f"The published package is left out: {error}.")
    return layers


def measure_layers(layers: Mapping[str, nn.Module], profile: Profile) -> list[Record]:
    """Seconds of each layer's forward and backward, in float32, at the first stage's shape."""
    shape = (profile.batch, 64, profile.image_size // 4, profile.image_size // 4)
    generator = torch.Generator().manual_seed(0)
    x, dy = (torch.randn(shape, generator=generator).to(profile.device) for _ in range(2))
    x.requires_grad_()

    def step(layer: nn.Module) -> Callable[[], object]:
        inputs = (x, *layer.to(profile.device).train().parameters())
        # A copy for all, because the published layer overwrites its input.
        return lambda: torch.autograd.grad(layer(x.clone()), inputs, dy)

    functions = {name: step(layer) for name, layer in layers.items()}
    timings = measure_many(functions, **clock_options(profile))
    provenance, records = collect(profile.device), []
    for name, layer in layers.items():
        ran = Conditions(profile.batch, profile.image_size, norm=norm_backend(layer))
        what, time = ("memory", "layer", name, "training", "time"), timings[name].seconds
        records.append(Record(*what, time, ran, provenance))
    return records


def layer_table(layers: Mapping[str, nn.Module], records: Sequence[Record]) -> pd.DataFrame:
    """What each layer keeps, how exact it is in float32, and how long a call takes.

    Columns: layer, maps (kept), largest_error (of `layer_errors`), milliseconds, quartiles,
    time_ratio (to PyTorch's BatchNorm).
    """
    times = {r.model: r.value for r in records if (r.suite, r.case) == ("memory", "layer")}
    rows = []
    for name, layer in layers.items():
        t = times[name]
        row = {"layer": name, "maps": maps_kept(layer.cpu())}
        row["largest_error"] = max(layer_errors(layer).values())
        row |= {"milliseconds": 1e3 * t.median, "quartiles": (1e3 * t.q1, 1e3 * t.q3)}
        rows.append({**row, "time_ratio": t.median / times[PYTORCH].median})
    return pd.DataFrame(rows)


def maps_kept(layer: nn.Module, channels: int = 64) -> int:
    """How many maps of its input's size a norm with its activation keeps, after a convolution."""
    # half the channels, so that the convolution's own input is smaller
    x = torch.rand(2, channels // 2, 8, 8)
    chain = nn.Sequential(nn.Conv2d(channels // 2, channels, 1, bias=False), layer).train()
    size = 2 * channels * 8 * 8 * x.element_size()
    return sum(item.bytes == size for item in kept_for_backward(chain, x))


def layer_errors(layer: nn.Module) -> dict[str, float]:
    """Largest errors in float32 of y, dx and dweight, relative to the largest value.

    Against PyTorch in float64. The layer's weight and bias are drawn anew.
    """
    weight, bias = layer.parameters()
    generator = torch.Generator().manual_seed(0)
    x, dy = (torch.randn(4, len(weight), 16, 16, generator=generator) for _ in range(2))
    with torch.no_grad():
        weight.copy_(torch.rand(len(weight), generator=generator) + 0.5)
        bias.copy_(torch.rand(len(bias), generator=generator) - 0.5)
    x.requires_grad_()
    y = layer.train()(x.clone())
    ours = (y.detach().clone(), *torch.autograd.grad(y, (x, weight), dy))

    # |w| + eps as published
    scale = weight.detach().double() + (layer.eps if isinstance(layer, InPlaceABN) else 0)
    exact_x, scale = x.detach().double().requires_grad_(), scale.requires_grad_()
    exact_y = reference(exact_x, scale, bias.detach().double())
    exact = (exact_y.detach(), *torch.autograd.grad(exact_y, (exact_x, scale), dy.double()))
    values = zip(("y", "dx", "dweight"), ours, exact, strict=True)
    return {name: ((o - e).abs().max() / e.abs().max()).item() for name, o, e in values}

"""Inplace-ABN (§2.1): how exactly its backward reads back what it dropped, what training keeps, and
what that costs.

In the records, suite "memory":

    case "tresnet_m"    training of TResNet-M: on BatchNorm, with Inplace-ABN by `memory` setting
    case "activation"   inference of Table 4's second and third steps: activation, then norm
    case "layer"        one norm and activation, forward and backward; the published package too
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace

import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from tresnet_lite.ablation import ablation_ladder
from tresnet_lite.bench import measure_many
from tresnet_lite.bench.compare import norm_backend
from tresnet_lite.counting.kept import TARGETS, kept_for_backward, kept_per_image, memory_settings
from tresnet_lite.experiments.gates import BATCH
from tresnet_lite.experiments.small_runs import one_thread
from tresnet_lite.findings.speeds import model_speeds
from tresnet_lite.layers import InPlaceABN
from tresnet_lite.layers.residual_tail import residual_tail
from tresnet_lite.model import TResNet, create_model
from tresnet_lite.paper import NAMES, paper_value
from tresnet_lite.profiles import DTYPES, Profile
from tresnet_lite.records import Conditions, Record, collect
from tresnet_lite.train.digits import digits

# x (N, C, H, W), weight (C,), bias (C,) → y like x
Layer = Callable[[Tensor, Tensor, Tensor], Tensor]

SUITE = "memory"
SLOPE = 0.01
GAMMAS = tuple(10 ** (-k / 3) for k in range(13))  # 1 down to 0.0001
LABELS = {
    "batchnorm": "BatchNorm",
    "paper": "paper",
    "lean": "lean",
    "recompute": "recompute",
    "min": "min",
    "relu": "BatchNorm, ReLU",
    "leaky_relu": "BatchNorm, leaky ReLU",
    "iabn": "Inplace-ABN",
}
GROUPS = {  # what keeps a map → the kinds of modules
    "BatchNorm: its input": ("BatchNorm2d",),
    "activation: its output": ("ReLU", "LeakyReLU"),
    "Inplace-ABN: its output": ("InPlaceABN",),
    "block's end, fused": ("BasicBlock", "Bottleneck", "CheckpointedStage"),
    "SE, blur, convolution, pool": ("SqueezeExcite", "BlurPool2d", "Conv2d", "MaxPool2d", "Linear"),
}


# --- reading back


def inplace_abn(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The package's layer as a function: batch norm of x (N, C, H, W), then leaky ReLU of slope
    `SLOPE`.
    """
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
    layer: Layer, gamma: float, dtype: str, seed: int = 0, channels: int = 32
) -> tuple[float, float]:
    """Relative errors of dγ and dx against float64, for weights γ, biases in ±1, and x and dy
    normal, in `dtype`.
    """
    generator = torch.Generator().manual_seed(seed)
    x, dy = (
        torch.randn(8, channels, 16, 16, generator=generator).to(DTYPES[dtype]) for _ in range(2)
    )
    weight, bias = (
        torch.full((channels,), float(gamma)),
        2 * torch.rand(channels, generator=generator) - 1,
    )

    def gradients(function: Layer, *inputs: Tensor) -> tuple[Tensor, ...]:
        x, weight, bias = (t.clone().requires_grad_() for t in inputs)
        return torch.autograd.grad(function(x, weight, bias), (weight, x), dy.to(x.dtype))

    exact = gradients(reference, x.double(), weight.double(), bias.double())
    got = gradients(layer, x, weight, bias)
    # Where γ is 0, so is dx: there the error is told as it is.
    return tuple(
        ((g.double() - e).norm() / (e.norm() or 1)).item() for g, e in zip(got, exact, strict=True)
    )


def precision(
    layers: Mapping[str, Layer], dtypes: Iterable[str], gammas: Sequence[float] = GAMMAS
) -> pd.DataFrame:
    """`gradient_errors` of several layers, the median of three draws. Columns: layer, dtype, gamma,
    dgamma, dx.
    """

    rows = [
        {"layer": name, "dtype": dtype, "gamma": gamma}
        | dict(zip(("dgamma", "dx"), errors, strict=True))
        for name, layer in layers.items()
        for dtype in dtypes
        for gamma in gammas
        for errors in (gradient_errors(layer, gamma, dtype, seed) for seed in range(3))
    ]
    return (
        pd.DataFrame(rows).groupby(["layer", "dtype", "gamma"], as_index=False, sort=False).median()
    )


def tails(plain: Layer, gammas: Sequence[float] = (1.0, 0.1, 0.01, 0.001, 0.0)) -> pd.DataFrame:
    """Errors of dγ in bfloat16 by three ways. Columns: gamma, plain_error, layer_error,
    tail_error; NaN where no number came out.
    """
    ways = {"plain_error": plain, "layer_error": inplace_abn, "tail_error": fused_tail}
    found = precision(ways, ["bfloat16"], gammas)
    return (
        found.pivot(index="gamma", columns="layer", values="dgamma")
        .loc[list(gammas), list(ways)]
        .reset_index()
    )


# --- what is kept


def memory_networks(width: int = 64) -> dict[str, TResNet]:
    """TResNet-M, of any width, on BatchNorm, then with Inplace-ABN under each setting of
    `memory`.
    """
    return {"batchnorm": create_model("tresnet_m", norm="bn", memory="paper", width=width)} | {
        memory: create_model("tresnet_m", memory=memory, width=width) for memory in TARGETS
    }


def kept(network: str, dtype: str = "float32") -> Mapping[tuple[str, str], float]:
    """`kept_per_image` of "resnet50", or of TResNet-M under a name of `memory_networks`."""
    if network == "resnet50":
        return kept_per_image("resnet50", dtype, norm="bn", memory="paper")
    norm, memory = ("bn", "paper") if network == "batchnorm" else ("iabn", network)
    return kept_per_image("tresnet_m", dtype, norm=norm, memory=memory)


def by_stage() -> pd.DataFrame:
    """MB an image (224 px, float32) that each part keeps. Columns: stage, resnet50, batchnorm,
    published.
    """

    columns = {}
    for network in ("resnet50", "batchnorm", "paper"):
        total: dict[str, float] = {}
        for (stage, _), size in kept(network).items():
            name = stage.replace("layer", "stage ")
            total[name] = total.get(name, 0.0) + size / 1e6
        columns[network] = total | {"all": sum(total.values())}
    return (
        pd.DataFrame(columns)
        .rename(columns={"paper": "published"})
        .rename_axis("stage")
        .reset_index()
    )


def by_group(network: str, dtype: str = "float32") -> dict[str, float]:
    """MB an image (224 px) by `GROUPS`."""
    sizes = {
        group: sum(s for (_, k), s in kept(network, dtype).items() if k in kinds)
        for group, kinds in GROUPS.items()
    }
    return {group: size / 1e6 for group, size in sizes.items()}


def factors() -> pd.DataFrame:
    """What makes ResNet50 keep more than TResNet-M. Columns: factor, float32_ratio,
    bfloat16_ratio, paper_ratio (of largest batches).
    """

    batch = {
        name: paper_value(3, "max_batch", model=NAMES[name]) for name in ("resnet50", "tresnet_m")
    }
    steps = {
        "architecture: ResNet50 ÷ TResNet-M, both on BatchNorm": ("resnet50", "batchnorm"),
        "Inplace-ABN: TResNet-M on BatchNorm ÷ with Inplace-ABN": ("batchnorm", "paper"),
        "both: ResNet50 ÷ TResNet-M": ("resnet50", "paper"),
    }
    rows = [
        {"factor": name}
        | {f"{d}_ratio": _total(of, d) / _total(to, d) for d in ("float32", "bfloat16")}
        for name, (of, to) in steps.items()
    ]
    rows[-1]["paper_ratio"] = batch["tresnet_m"] / batch["resnet50"]
    return pd.DataFrame(rows)


def _total(network: str, dtype: str) -> float:
    return sum(kept(network, dtype).values())


def settings_table() -> pd.DataFrame:
    """`memory_settings` in MB. Columns: name, float32, bfloat16, ratio, target."""

    rows = []
    for row in memory_settings():
        norm = f', memory="{row.memory}"' if row.norm == "iabn" else ", BatchNorm"
        name = NAMES[row.network] + ("" if row.network == "resnet50" else norm)
        rows.append(
            asdict(row)
            | {
                "name": name,
                "float32": row.float32 / 1e6,
                "bfloat16": row.bfloat16 / 1e6,
            }
        )
    return pd.DataFrame(rows)


# --- what it costs


def frontier(records: Sequence[Record]) -> pd.DataFrame:
    """Memory and speed of TResNet-M's settings, from one run.

    Columns: those of `notebook.speeds` (ratio to BatchNorm), name, quartiles, peak (MB a step), and
    kept (MB an image at 224 px in the run's precision, counted).
    """
    table = model_speeds(records, suite=SUITE, case="tresnet_m", base="batchnorm")
    peak = {
        r.model: r.value.median / 1e6
        for r in records
        if (r.case, r.metric) == ("tresnet_m", "peak_memory")
    }
    dtype = next(r.conditions.dtype for r in records if r.case == "tresnet_m")
    return table.assign(
        name=table["model"].map(LABELS),
        quartiles=_quartiles(table),
        peak=table["model"].map(peak),
        kept=[_total(model, dtype) / 1e6 for model in table["model"]],
    )


def activation_networks(width: int = 64) -> dict[str, TResNet]:
    """Table 4's step to Inplace-ABN, taken apart: BatchNorm with ReLU, with leaky ReLU, and
    Inplace-ABN.
    """
    rungs = ablation_ladder()
    before, after = rungs["+ Block-type selection"], rungs["+ Inplace-ABN"]
    configs = {
        "relu": before,
        "leaky_relu": replace(before, activation="leaky_relu"),
        "iabn": after,
    }
    return {name: TResNet(replace(config, width=width)) for name, config in configs.items()}


def inference_speeds(records: Sequence[Record]) -> pd.DataFrame:
    """Speeds of `activation_networks`, beside the paper's where Table 4 prints one; ratios to
    BatchNorm with ReLU.

    Columns: those of `notebook.speeds`, name, quartiles, paper, paper_ratio.
    """
    table = model_speeds(records, suite=SUITE, case="activation", base="relu")
    rungs = {"relu": "+ Block-type selection", "iabn": "+ Inplace-ABN"}
    printed = {
        name: paper_value(4, "inference_img_s", refinement=rung) for name, rung in rungs.items()
    }
    paper = table["model"].map(printed)
    return table.assign(
        name=table["model"].map(LABELS),
        quartiles=_quartiles(table),
        paper=paper,
        paper_ratio=paper / printed["relu"],
    )


def _quartiles(table: pd.DataFrame) -> list[str]:
    return [f"{q1:,.2f}–{q3:,.2f}" for q1, q3 in zip(table["q1"], table["q3"], strict=True)]


# --- one layer, ours and the published one


def layers(device: str = "cpu", channels: int = 64) -> dict[str, nn.Module]:
    """Norm and leaky ReLU by PyTorch, by the package, and by the published `inplace-abn` where that
    works.
    """
    found = {
        "BatchNorm2d, LeakyReLU": nn.Sequential(
            nn.BatchNorm2d(channels), nn.LeakyReLU(SLOPE, inplace=True)
        ),
        "InPlaceABN, native": InPlaceABN(channels, activation_param=SLOPE, backend="native"),
    }
    try:
        published = InPlaceABN(channels, activation_param=SLOPE, backend="mapillary").to(device)
        # one built for the CPU fails on a GPU
        published(torch.rand(2, channels, 2, 2, device=device))
        found["InPlaceABN, mapillary"] = published
    except (ImportError, RuntimeError) as error:
        print(f"The published package is left out: {error}.")
    return found


def measure_layers(found: Mapping[str, nn.Module], profile: Profile) -> list[Record]:
    """Seconds of each layer's forward and backward, at the shape of the network's first stage, in
    float32.
    """
    side, channels = profile.image_size // 4, 64
    generator = torch.Generator().manual_seed(0)
    x, dy = (
        torch.randn(profile.batch, channels, side, side, generator=generator) for _ in range(2)
    )
    x, dy = x.to(profile.device).requires_grad_(), dy.to(profile.device)

    def step(layer: nn.Module) -> Callable[[], object]:
        inputs = (x, *layer.to(profile.device).train().parameters())
        # A copy for all, because the published layer overwrites its input.
        return lambda: torch.autograd.grad(layer(x.clone()), inputs, dy)

    options = {
        "min_block": profile.min_block,
        "min_repeats": profile.repeats,
        "max_seconds": profile.max_seconds,
    }
    timings = measure_many(
        {n: step(layer) for n, layer in found.items()}, device=profile.device, **options
    )
    provenance = collect(profile.device)

    def record(name: str) -> Record:
        ran = Conditions(profile.batch, profile.image_size, norm=norm_backend(found[name]))
        return Record(
            SUITE, "layer", name, "training", "time", timings[name].seconds, ran, provenance
        )

    return [record(name) for name in found]


def layer_table(found: Mapping[str, nn.Module], records: Sequence[Record]) -> pd.DataFrame:
    """Maps kept, error against float64, and time (ms; ratio to PyTorch's BatchNorm) of each layer
    in float32.

    Columns: layer, maps, largest_error (of `layer_errors`), milliseconds, quartiles, time_ratio.
    """

    timed = {r.model: r.value for r in records if (r.suite, r.case) == (SUITE, "layer")}
    base = timed["BatchNorm2d, LeakyReLU"].median
    rows = []
    for name, layer in found.items():
        t = timed[name]
        row = {
            "layer": name,
            "maps": maps_kept(layer.cpu()),
            "largest_error": max(layer_errors(layer).values()),
        }
        row |= {"milliseconds": 1e3 * t.median, "quartiles": (1e3 * t.q1, 1e3 * t.q3)}
        rows.append(row | {"time_ratio": t.median / base})
    return pd.DataFrame(rows)


def maps_kept(layer: nn.Module, channels: int = 64) -> int:
    """How many tensors of its input's size a norm with its activation keeps, behind a
    convolution.
    """
    # half the channels, so that the convolution's own input is smaller
    x = torch.rand(2, channels // 2, 8, 8)
    chain = nn.Sequential(nn.Conv2d(channels // 2, channels, 1, bias=False), layer).train()
    size = 2 * channels * 8 * 8 * x.element_size()
    return sum(item.bytes == size for item in kept_for_backward(chain, x))


def layer_errors(layer: nn.Module) -> dict[str, float]:
    """Largest errors in float32 of y, dx and dweight against PyTorch in float64, relative to the
    largest value.
    """
    weight, bias = layer.parameters()
    generator = torch.Generator().manual_seed(0)
    x, dy = (torch.randn(4, len(weight), 16, 16, generator=generator) for _ in range(2))
    with torch.no_grad():
        weight.copy_(torch.rand(len(weight), generator=generator) + 0.5)
        bias.copy_(torch.rand(len(bias), generator=generator) - 0.5)
    x.requires_grad_()
    y = layer.train()(x.clone())
    got = (y.detach().clone(), *torch.autograd.grad(y, (x, weight), dy))

    # |w| + eps as published
    scale = weight.detach().double() + (layer.eps if isinstance(layer, InPlaceABN) else 0)
    exact_x, scale = x.detach().double().requires_grad_(), scale.requires_grad_()
    exact_y = reference(exact_x, scale, bias.detach().double())
    exact = (exact_y.detach(), *torch.autograd.grad(exact_y, (exact_x, scale), dy.double()))
    errors = [((g - e).abs().max() / e.abs().max()).item() for g, e in zip(got, exact, strict=True)]
    return dict(zip(("y", "dx", "dweight"), errors, strict=True))


# --- training


def digit_losses(
    norm: str,
    seed: int,
    *,
    steps: int,
    batch: int = BATCH,
    device: str = "cpu",
    dtype: str = "bfloat16",
) -> list[float]:
    """Losses of a narrow TResNet that learns scikit-learn's digits (32 px): SGD, one-cycle rate,
    autocast.

    The seed decides the first weights and the batches; they are the same for norm "bn" and "iabn".
    The last norm of each block starts at weight 0, as in the published code.
    """
    data = digits(device)
    torch.manual_seed(seed)
    network = create_model(
        "tresnet_m", width=8, depths=(1, 1, 2, 1), num_classes=10, in_chans=1, norm=norm
    )
    network.to(device).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=steps)
    generator = torch.Generator().manual_seed(seed)
    found = []
    # a network this narrow gains nothing from more, and on a busy machine they wait for each other
    with one_thread():
        for _ in range(steps):
            chosen = torch.randint(len(data.labels), (batch,), generator=generator).to(device)
            with torch.autocast(
                torch.device(device).type, DTYPES[dtype], enabled=dtype != "float32"
            ):
                loss = F.cross_entropy(network(data.images[chosen]), data.labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            found.append(loss.item())
    return found


def digit_runs(seeds: int, steps: int, batch: int = BATCH, device: str = "cpu") -> pd.DataFrame:
    """`digit_losses` with either norm, in bfloat16. Columns: norm ("BatchNorm", "Inplace-ABN"),
    seed, step, loss.
    """

    runs = [
        {"norm": name, "seed": seed, "step": step, "loss": loss}
        for norm, name in (("bn", "BatchNorm"), ("iabn", "Inplace-ABN"))
        for seed in range(seeds)
        for step, loss in enumerate(
            digit_losses(norm, seed, steps=steps, batch=batch, device=device), 1
        )
    ]
    return pd.DataFrame(runs)


def affordable(seconds: float, seeds: int, steps: int, device: str = "cpu") -> tuple[int, int]:
    """Seeds and steps for `digit_runs` that take about so many seconds: at most these, at least 2
    seeds of 20 steps.

    A CPU without instructions for bfloat16 takes ten times as long as one that has them.
    """
    tried = 4
    digit_losses("iabn", 0, steps=2, device=device)  # the first steps choose kernels
    start = time.monotonic()
    digit_losses("iabn", 0, steps=tried, device=device)
    all_steps = seconds / 2 * tried / (time.monotonic() - start)  # for each of the two norms
    if seeds * steps > all_steps:
        seeds = 2
    return seeds, max(20, min(steps, int(all_steps / seeds)))


def track(runs: pd.DataFrame, last: int = 10) -> tuple[float, float]:
    """How far the norms' mean losses over the last steps lie apart, and one run's spread over seeds
    (its std).

    Two norms that train alike differ by less than the spread of single runs.
    """
    tail = runs[runs["step"] > runs["step"].max() - last].groupby(["norm", "seed"])["loss"].mean()
    ends = tail.unstack("seed")  # (norm, seed)
    apart = (ends.loc["Inplace-ABN"] - ends.loc["BatchNorm"]).mean()
    return abs(float(apart)), float((ends.var(axis=1).mean()) ** 0.5)

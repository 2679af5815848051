"""TResNet-M with Inplace-ABN (§2.1): what training keeps, what that costs, whether it trains alike.

One layer by itself is in `inplace_abn_layer`. The records, suite "memory":

    case "tresnet_m"    training of TResNet-M: on BatchNorm, with Inplace-ABN by `memory` setting
    case "activation"   Table 4's second and third steps: activation, then norm
    case "batch"        TResNet-M on the same images, at once and as four smaller batches
    case "activation alone"     a batch norm with one of four activations

ResNet50 is ours (`create_model`), also where the memory that it keeps is counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
import torch

from tresnet_lite.counting.kept import TARGETS, kept_per_image, memory_settings
from tresnet_lite.experiments.experiment import Experiment
from tresnet_lite.experiments.small_training import TRAINING_BATCH, fit, one_thread
from tresnet_lite.findings.statistics import interval
from tresnet_lite.model import create_model
from tresnet_lite.paper import NAMES, paper_value
from tresnet_lite.records import Record
from tresnet_lite.train.digits import digits

GROUPS = {  # what keeps a map → the kinds of modules
    "BatchNorm: its input": ("BatchNorm2d",),
    "activation: its output": ("ReLU", "LeakyReLU"),
    "Inplace-ABN: its output": ("InPlaceABN",),
    "block's end, fused": ("BasicBlock", "Bottleneck", "CheckpointedStage"),
    "SE, blur, convolution, pool": ("SqueezeExcite", "BlurPool2d", "Conv2d", "MaxPool2d", "Linear"),
}


# --- what is kept


def kept_by_setting(network: str, dtype: str = "float32") -> Mapping[tuple[str, str], float]:
    """`kept_per_image` of "resnet50", or of TResNet-M under a name of `memory_networks`."""
    if network == "resnet50":
        return kept_per_image("resnet50", dtype, norm="bn", memory="paper")
    norm, memory = ("bn", "paper") if network == "batchnorm" else ("iabn", network)
    return kept_per_image("tresnet_m", dtype, norm=norm, memory=memory)


def _total_mb(network: str, dtype: str) -> float:
    return sum(kept_by_setting(network, dtype).values()) / 1e6


def by_stage() -> pd.DataFrame:
    """MB per image (224 px, float32) that each part keeps.

    Columns: stage, resnet50, batchnorm, published (Inplace-ABN).
    """
    columns = {}
    for network in ("resnet50", "batchnorm", "paper"):
        total: dict[str, float] = {}
        for (stage, _), size in kept_by_setting(network).items():
            name = stage.replace("layer", "stage ")
            total[name] = total.get(name, 0.0) + size / 1e6
        columns[network] = {**total, "all": sum(total.values())}
    table = pd.DataFrame(columns).rename(columns={"paper": "published"})
    return table.rename_axis("stage").reset_index()


def by_group(network: str, dtype: str = "float32") -> dict[str, float]:
    """MB per image (224 px) by `GROUPS`."""
    sizes = dict.fromkeys(GROUPS, 0.0)
    for (_, kind), size in kept_by_setting(network, dtype).items():
        for group, kinds in GROUPS.items():
            if kind in kinds:
                sizes[group] += size / 1e6
    return sizes


def memory_factors() -> pd.DataFrame:
    """What makes ResNet50 keep more than TResNet-M.

    Columns: factor, float32_ratio, bfloat16_ratio, paper_ratio (of largest batches).
    """
    steps = {  # what keeps more, and what keeps less
        "architecture: ResNet50 ÷ TResNet-M, both on BatchNorm": ("resnet50", "batchnorm"),
        "Inplace-ABN: TResNet-M on BatchNorm ÷ with Inplace-ABN": ("batchnorm", "paper"),
        "both: ResNet50 ÷ TResNet-M": ("resnet50", "paper"),
    }
    rows: list[dict[str, object]] = []
    for name, (more, less) in steps.items():
        row: dict[str, object] = {"factor": name}
        for dtype in ("float32", "bfloat16"):
            row[f"{dtype}_ratio"] = _total_mb(more, dtype) / _total_mb(less, dtype)
        rows.append(row)
    batch = {m: paper_value(3, "max_batch", model=NAMES[m]) for m in ("resnet50", "tresnet_m")}
    rows[-1]["paper_ratio"] = batch["tresnet_m"] / batch["resnet50"]
    return pd.DataFrame(rows)


def settings_table() -> pd.DataFrame:
    """`memory_settings` in MB. Columns: name, float32, bfloat16, ratio, target."""
    rows = []
    for row in memory_settings():
        setting = f', memory="{row.memory}"' if row.norm == "iabn" else ", BatchNorm"
        name = NAMES[row.network] + ("" if row.network == "resnet50" else setting)
        sizes = {"float32": row.float32 / 1e6, "bfloat16": row.bfloat16 / 1e6}
        rows.append({"name": name, **sizes, "ratio": row.ratio, "target": row.target})
    return pd.DataFrame(rows)


# --- what it costs


_SETTINGS = {"batchnorm": "BatchNorm"} | {memory: memory for memory in TARGETS}
MEMORY = Experiment("memory", "tresnet_m", _SETTINGS, base="batchnorm")


def frontier_table(records: Sequence[Record]) -> pd.DataFrame:
    """Memory and speed of TResNet-M's settings, from one run.

    Columns: those of `Experiment.speeds` (ratio to BatchNorm), peak (MB per step), and kept (MB per
    image at 224 px in the run's precision, counted).
    """
    table = MEMORY.speeds(records)
    peak = MEMORY.peaks(records).set_index("model")["peak"]
    dtype = next(r.conditions.dtype for r in records if r.case == MEMORY.case)
    kept_mb = [_total_mb(model, dtype) for model in table["model"]]
    return table.assign(peak=table["model"].map(peak), kept=kept_mb)


_STEPS = {"relu": "BatchNorm, ReLU", "leaky_relu": "BatchNorm, leaky ReLU", "iabn": "Inplace-ABN"}
ACTIVATION = Experiment(
    "memory",
    "activation",
    _STEPS,
    base="relu",
    printed={
        "relu": {"table": 4, "refinement": "+ Block-type selection"},
        "iabn": {"table": 4, "refinement": "+ Inplace-ABN"},
    },
)


BATCH = Experiment(
    "memory", "batch", {"whole": "the whole batch", "quarters": "a quarter at a time"}, "quarters"
)
_LAYERS = {name: f"BatchNorm, {name}" for name in ("ReLU", "LeakyReLU", "SiLU", "Mish")}
ACTIVATION_ALONE = Experiment("memory", "activation alone", _LAYERS, base="ReLU")


# --- training


def digit_losses(
    norm: str,
    seed: int,
    *,
    steps: int,
    batch: int = TRAINING_BATCH,
    device: str = "cpu",
    dtype: str = "bfloat16",
) -> list[float]:
    """Losses of a narrow TResNet that learns to read digits (32 px), under autocast.

    The seed decides the first weights and the batches; they are the same for norm "bn" and "iabn".
    The last norm of each block starts at weight 0, as in the published code.
    """
    data = digits(device)
    torch.manual_seed(seed)
    options = {"width": 8, "depths": (1, 1, 2, 1), "norm": norm}
    network = create_model("tresnet_m", num_classes=10, in_chans=1, **options)
    generator = torch.Generator().manual_seed(seed)
    count = len(data.labels)
    batches = [torch.randint(count, (batch,), generator=generator) for _ in range(steps)]
    with one_thread():
        return fit(network, data, batches, lr=0.1, dtype=dtype)


def digit_runs(
    seeds: int, steps: int, batch: int = TRAINING_BATCH, device: str = "cpu"
) -> pd.DataFrame:
    """`digit_losses` with both norms, in bfloat16.

    Columns: norm ("BatchNorm", "Inplace-ABN"), seed, step, loss.
    """
    rows = []
    for norm, name in (("bn", "BatchNorm"), ("iabn", "Inplace-ABN")):
        for seed in range(seeds):
            losses = digit_losses(norm, seed, steps=steps, batch=batch, device=device)
            rows += [(name, seed, step, loss) for step, loss in enumerate(losses, 1)]
    return pd.DataFrame(rows, columns=["norm", "seed", "step", "loss"])


def norm_difference(runs: pd.DataFrame, last: int = 10) -> tuple[float, float, float]:
    """Loss at the end with Inplace-ABN minus with BatchNorm: mean over seeds, 95 % t interval.

    The end is the mean over the `last` steps. A seed is a pair: both norms get the same first
    weights and the same batches.
    """
    tail = runs[runs["step"] > runs["step"].max() - last].groupby(["norm", "seed"])["loss"].mean()
    ends = tail.unstack("seed")  # (norm, seed)
    differences = ends.loc["Inplace-ABN"] - ends.loc["BatchNorm"]
    return float(differences.mean()), *interval(differences.tolist())

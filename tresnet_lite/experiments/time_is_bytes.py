"""Time as MACs and bytes: of single operations, and of networks as the sum of their operations."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from functools import cache

import pandas as pd
import torch
from torch import nn

from tresnet_lite.checkout import DATA
from tresnet_lite.counting.traffic import step_operations
from tresnet_lite.experiments.predicted_speeds import prediction_columns
from tresnet_lite.findings.tables import PAPER_SIDE
from tresnet_lite.paper import NETWORKS
from tresnet_lite.paper.published import benchmarks, peak
from tresnet_lite.predict import Fit, Load, devices, load_of
from tresnet_lite.predict.load import in_half_precision
from tresnet_lite.predict.paper_speeds import paper_batch
from tresnet_lite.predict.roofline import (
    demand,
    image_seconds,
    operation_seconds,
    share_of_bytes,
)
from tresnet_lite.predict.sources import counted_load, timm_load
from tresnet_lite.records.records import INFERENCE_FIRST

MEGA, MICRO = 1e6, 1e-6


# --- single operations


def operation_costs(
    module: nn.Module, size: tuple[int, int, int], batch: int = 128
) -> pd.DataFrame:
    """What each operation of an inference asks for per image, and the time of a V100 for that.

    In float16, by the V100's data sheet.

    Columns: operation, macs_m (millions), moved_mb, arithmetic_time, bytes_time and least_time (µs:
    MACs and bytes alone, and the longer of the two), limit ("MACs" or "bytes").

    Args:
        module: on the meta device, with a convolution or a linear layer. It becomes half precision.
        size: (C, H, W) of its input.
        batch: images that share the bytes of the weights.
    """
    sheet, rows = peak(), []
    for step in step_operations(in_half_precision(module), size):
        operation = step.of(batch)
        computing = operation.flop / sheet.flops / batch / MICRO
        moving = operation.moved / sheet.bandwidth / batch / MICRO
        row = {"operation": operation.name, "macs_m": operation.macs / batch / MEGA}
        row |= {"moved_mb": operation.moved / batch / MEGA, "arithmetic_time": computing}
        row |= {"bytes_time": moving, "least_time": max(computing, moving)}
        rows.append(row | {"limit": "MACs" if computing > moving else "bytes"})
    return pd.DataFrame(rows)


# --- where the time of a network goes

REST = "rest"  # SE, blurs, pooling, the classifier, casts and the optimiser
COMPUTING, WAITING = "convolutions, limited by MACs", "convolutions, limited by bytes"
KINDS = (COMPUTING, WAITING, "norms", "activations", "sums", REST)
OF_NAME = {  # of an operation of PyTorch
    "native_batch_norm": "norms",
    "native_batch_norm_backward": "norms",
    "published_abn": "norms",
    "published_abn_backward": "norms",
    "relu": "activations",
    "threshold_backward": "activations",
    "leaky_relu": "activations",
    "leaky_relu_backward": "activations",
    "add": "sums",
}


def time_by_kind(network: str, phase: str, fitted: Fit) -> dict[str, float]:
    """The predicted µs per image of each kind of operation, by `KINDS`.

    An Inplace-ABN is a norm with its activation, as the paper's is one kernel.
    """
    load, batch = _step(network, phase)
    asked, rates = demand([(load, batch)], fitted.rules), fitted.rates
    seconds = operation_seconds(asked, rates)
    waiting = seconds > operation_seconds(asked, replace(rates, bandwidth=math.inf))
    times = dict.fromkeys(KINDS, 0.0)
    operations = zip(load.names, load.depthwise, waiting, seconds / MICRO, strict=True)
    for name, depthwise, waits, time in operations:
        kind = OF_NAME.get(name, REST)
        if name.startswith("convolution") and not depthwise:
            kind = WAITING if waits else COMPUTING
        times[kind] += float(time)
    # casts and the optimiser are none of the operations
    whole = float(image_seconds(asked, rates)[0]) / MICRO
    return times | {REST: times[REST] + whole - sum(times.values())}


def _step(network: str, phase: str) -> tuple[Load, int]:
    """A network's load at 224 px with the published norms, and the batch that the paper took."""
    load = counted_load(network, PAPER_SIDE, phase, "published")
    return load, paper_batch(NETWORKS[network], PAPER_SIDE)


def step_table(networks: Iterable[str], fitted: Fit) -> pd.DataFrame:
    """What a step of each network asks for per image, and its predicted speed.

    Columns: network, phase, macs (billions), moved_mb, share (of the time, that bytes limit), and
    `prediction_columns`.
    """
    rows = []
    for network in networks:
        for phase in INFERENCE_FIRST:
            load, batch = _step(network, phase)
            asked = demand([(load, batch)], fitted.rules)
            row = {"network": NETWORKS[network], "phase": phase, "macs": load.macs.sum() / 1e9}
            row |= {"moved_mb": (load.moved + load.once / batch).sum() / MEGA}
            row |= {"share": float(share_of_bytes(asked, fitted.rates)[0])}
            rows.append(row | prediction_columns(fitted.predict(load, batch)))
    return pd.DataFrame(rows)


# --- a natural experiment: RepVGG

REPVGG = DATA / "published" / "timm_repvgg.csv"
REPVGG_DEVICE = "rtx4090"


@cache
def reparameterised_load(network: str) -> Load:
    """The load of inference of a network of timm whose parallel branches became one convolution."""
    import timm
    from timm.utils.model import reparameterize_model

    with torch.device("meta"):
        return load_of(reparameterize_model(timm.create_model(network)), PAPER_SIDE)


def reparameterisation() -> pd.DataFrame:
    """timm's RepVGGs on an RTX 4090 before and after their branches became one convolution each.

    The constants are the RTX 4090's; no RepVGG was fitted to.

    Columns: network; by how much the second differs: macs_change, activations_change and
    bytes_change; quoted_ratio (of the published speeds), predicted_ratio, predicted_interval.
    """
    fitted, rows = devices.read()[REPVGG_DEVICE].fit, []
    for network, lines in pd.read_csv(REPVGG).groupby("model", sort=False):
        before, after = lines.to_dict("records")  # as the file has them
        old, new = timm_load(network, PAPER_SIDE, "inference"), reparameterised_load(network)
        row = {"network": network, "macs_change": new.macs.sum() / old.macs.sum() - 1}
        row |= {"activations_change": new.activations / old.activations - 1}
        row |= {"bytes_change": new.moved.sum() / old.moved.sum() - 1}
        row |= {"quoted_ratio": after["images_per_second"] / before["images_per_second"]}
        ratio = fitted.ratio((new, after["batch_size"]), (old, before["batch_size"]))
        row |= {"predicted_ratio": ratio.value, "predicted_interval": (ratio.low, ratio.high)}
        rows.append(row)
    return pd.DataFrame(rows)


def newer_version() -> float:
    """How much faster the book's networks are in the second of RepVGG's two files: the median of
    their ratios.
    """
    before, after = pd.read_csv(REPVGG)["source_file"].unique()
    table = benchmarks().pivot_table(
        index=["model", "resolution"], columns="source_file", values="images_per_second"
    )
    return float((table[after] / table[before]).median())

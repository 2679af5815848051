"""The gates of a small network that has learned to read digits: do they follow the image?

The digits are scikit-learn's 1,797 scans of handwriting, 8×8 pixels each, enlarged to 32×32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import pandas as pd
import torch
from torch import Tensor, nn

from tresnet_lite.bench.compare import norm_backend
from tresnet_lite.experiments.small_training import TRAINING_BATCH, accuracy
from tresnet_lite.layers import SqueezeExcite
from tresnet_lite.model import TResNet, create_model
from tresnet_lite.profiles import Profile
from tresnet_lite.records import Conditions, Record, Spread, collect
from tresnet_lite.train.digits import SIDE, Digits

Gates = dict[str, Tensor]  # layer → (N, C)

# What takes the place of the gates, from the gates of the training images and those of the images
# at hand.
SWAPS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "its own": lambda known, own: own,
    "another image's": lambda known, own: own.roll(1, dims=0),  # the images come in random order
    "the channel's average": lambda known, own: known.mean(0, keepdim=True),
    "one number a layer": lambda known, own: known.mean().reshape(1, 1),
}


def small_se_network(seed: int, **options: object) -> TResNet:
    """TResNet with an eighth of M's width and five blocks, SE as printed in its first three stages.

    As coded, SE would never squeeze below 64 channels, more than these maps have. `options` are
    fields of the configuration.
    """
    torch.manual_seed(seed)
    options = {"width": 8, "depths": (1, 1, 2, 1), "se_reduction": "paper"} | options
    return create_model("tresnet_m", num_classes=10, in_chans=1, **options)


def se_layers(network: nn.Module) -> dict[str, SqueezeExcite]:
    """A network's SE layers by name: "stage 3, block 1" and the like."""
    layers = {}
    for name, module in network.named_modules():
        if isinstance(module, SqueezeExcite):
            stage, block = name.split(".")[1:3]  # body.layer3.0.se
            layers[f"stage {stage[-1]}, block {int(block) + 1}"] = module
    return layers


@contextmanager
def _hooked(network: nn.Module, hooks: Mapping[str, Callable]) -> Iterator[None]:
    """While this lasts, SE layers have forward hooks, by the layers' names."""
    layers = se_layers(network)
    handles = [layers[name].register_forward_hook(hook) for name, hook in hooks.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def gates(network: TResNet, images: Tensor) -> Gates:
    """The gates (N, C) that each SE layer gives to each image, in evaluation."""
    values: Gates = {}

    def read(name: str) -> Callable:
        return lambda layer, inputs, _: values.update({name: layer.gate(inputs[0]).flatten(1)})

    with _hooked(network, {name: read(name) for name in se_layers(network)}):
        network.eval()(images)
    return values


@contextmanager
def swapped(network: TResNet, values: Mapping[str, Tensor]) -> Iterator[None]:
    """While this lasts, the SE layers named in `values` scale by those gates, (N, C) or (1, C)."""

    def scale_by(gate: Tensor) -> Callable:
        return lambda _, inputs, __: inputs[0] * gate[:, :, None, None]

    with _hooked(network, {name: scale_by(gate) for name, gate in values.items()}):
        yield


def swap_accuracies(networks: Sequence[TResNet], data: Digits, profile: Profile) -> list[Record]:
    """Accuracy on held-out digits with each of `SWAPS` in place of the gates, over the networks."""
    percents: dict[str, list[float]] = {name: [] for name in SWAPS}
    for network in networks:
        known, own = gates(network, data.images), gates(network, data.held_out_images)
        for name, swap in SWAPS.items():
            with swapped(network, {layer: swap(known[layer], own[layer]) for layer in own}):
                percents[name].append(accuracy(network, data))
    ran = Conditions(TRAINING_BATCH, SIDE, norm=norm_backend(networks[0]))
    where = collect(profile.device)
    return [
        Record("se", "digits", name, "inference", "top1", Spread.over(values), ran, where)
        for name, values in percents.items()
    ]


def accuracy_table(records: Sequence[Record]) -> pd.DataFrame:
    """The same as a table. Columns: gates, right (per cent), q1, q3, networks."""
    rows = [
        (r.model, r.value.median, r.value.q1, r.value.q3, r.value.repeats)
        for r in records
        if (r.suite, r.case, r.metric) == ("se", "digits", "top1")
    ]
    return pd.DataFrame(rows, columns=["gates", "right", "q1", "q3", "networks"])

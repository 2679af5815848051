"""A narrow TResNet that learns to read digits in seconds, and what its gates do: do they follow the
image?

The digits are scikit-learn's 1,797 scans of handwriting, 8×8 pixels each, enlarged to 32×32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from statistics import quantiles

import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tresnet_lite.bench.compare import norm_backend
from tresnet_lite.layers import SqueezeExcite
from tresnet_lite.model import TResNet, variant
from tresnet_lite.profiles import Profile
from tresnet_lite.records import Conditions, Record, Spread, collect
from tresnet_lite.train.digits import SIDE, Digits

BATCH = 64
NETWORKS = {"smoke": 1, "cpu": 3, "gpu": 5}  # trained from different seeds
EPOCHS = {"smoke": 4, "cpu": 6, "gpu": 6}
Gates = dict[str, Tensor]  # layer → (N, C)

# What takes the place of the gates, from the gates of the training images and those of the images
# at hand.
SWAPS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "its own": lambda known, own: own,
    "another image's": lambda known, own: own.roll(1, dims=0),  # the images come in random order
    "the channel's average": lambda known, own: known.mean(0, keepdim=True),
    "one number a layer": lambda known, own: known.mean().reshape(1, 1),
}


def small_network(seed: int, **options: object) -> TResNet:
    """TResNet with an eighth of M's width and five blocks, SE in its first three stages with the
    printed reduction.

    As coded, SE would never squeeze below 64 channels, more than these maps have. `options` are
    fields of the configuration.
    """
    torch.manual_seed(seed)
    config = replace(variant("tresnet_m"), width=8, depths=(1, 1, 2, 1), se_reduction="paper")
    return TResNet(replace(config, **options), num_classes=10, in_chans=1)


def train(
    network: TResNet,
    data: Digits,
    *,
    seed: int,
    epochs: int = 6,
    batch: int = BATCH,
    lr: float = 0.2,
) -> TResNet:
    """Train with SGD, momentum and a one-cycle learning rate (§3.1), and return the network in
    evaluation mode.
    """
    network.to(data.images.device).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=lr, momentum=0.9, weight_decay=1e-4)
    batches = len(data.labels) // batch
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=lr, total_steps=epochs * batches
    )
    generator = torch.Generator().manual_seed(seed)
    for _ in range(epochs):
        order = torch.randperm(len(data.labels), generator=generator).to(data.labels.device)
        for chosen in order[: batches * batch].split(batch):
            optimizer.zero_grad()
            F.cross_entropy(network(data.images[chosen]), data.labels[chosen]).backward()
            optimizer.step()
            schedule.step()
    return network.eval()


def se_layers(network: nn.Module) -> dict[str, SqueezeExcite]:
    """A network's SE layers by name: "stage 3, block 1" and the like."""
    found = {name: m for name, m in network.named_modules() if isinstance(m, SqueezeExcite)}
    places = {name: name.split(".")[1:3] for name in found}  # body.layer3.0.se
    return {f"stage {places[n][0][-1]}, block {int(places[n][1]) + 1}": m for n, m in found.items()}


@torch.no_grad()
def gates(network: TResNet, images: Tensor) -> Gates:
    """The gates (N, C) that each SE layer gives to each image, in evaluation."""
    found: Gates = {}

    def note(name: str) -> Callable:
        return lambda layer, inputs, _: found.update({name: layer.gate(inputs[0]).flatten(1)})

    hooks = [layer.register_forward_hook(note(name)) for name, layer in se_layers(network).items()]
    try:
        network.eval()(images)
    finally:
        for hook in hooks:
            hook.remove()
    return found


def class_share(gate: Tensor, labels: Tensor) -> float:
    """How much of the gates' variance over images, (N, C), is that of their class averages: 0 none,
    1 all.

    Labels that mean nothing get (K − 1) / (N − 1) on average, for N images of K classes. NaN where
    nothing varies.
    """
    gate = gate.double()
    average = gate.mean(0)
    total = (gate - average).square().sum()
    if total <= gate.numel() * 1e-12:  # single precision's rounding of numbers near 1/2
        return float("nan")
    classes = [gate[labels == label] for label in labels.unique()]
    between = sum(len(members) * (members.mean(0) - average).square().sum() for members in classes)
    return (between / total).item()


def variation(networks: Sequence[TResNet], fresh: Sequence[TResNet], data: Digits) -> pd.DataFrame:
    """How the gates of held-out images vary, layer by layer: medians over networks trained alike.

    Columns: layer; fresh and trained, the standard deviation over images of a channel's gate,
    averaged over channels, before and after training; between, that of the channels' average gates,
    after; share (`class_share`, of those that vary) and what chance would give; following, in how
    many of the networks the trained gates vary at all.
    """

    rows = []
    for before, after in zip(fresh, networks, strict=True):
        old = gates(before, data.held_out_images)
        for layer, new in gates(after, data.held_out_images).items():
            row = {"layer": layer, "fresh": _spread(old[layer]), "trained": _spread(new)}
            row |= {
                "between": new.mean(0).std().item(),
                "share": class_share(new, data.held_out_labels),
            }
            rows.append(row)
    layers = pd.DataFrame(rows).groupby("layer", as_index=False, sort=False)
    varying, labels = layers["share"].count()["share"], data.held_out_labels
    return layers.median().assign(
        chance=(len(labels.unique()) - 1) / (len(labels) - 1),
        following=[f"{n} of {len(networks)}" for n in varying],
    )


def _spread(gate: Tensor) -> float:
    return gate.std(0).mean().item()


@contextmanager
def swapped(network: TResNet, given: Mapping[str, Tensor]) -> Iterator[None]:
    """While this lasts, the SE layers in `given` scale by those gates, (N, C) or (1, C), and not by
    their own.
    """

    def scale_by(gate: Tensor) -> Callable:
        return lambda _, inputs, __: inputs[0] * gate[:, :, None, None]

    hooks = [
        layer.register_forward_hook(scale_by(given[n]))
        for n, layer in se_layers(network).items()
        if n in given
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@torch.no_grad()
def accuracy(network: TResNet, images: Tensor, labels: Tensor) -> float:
    """The share of images, in per cent, whose class the network tells."""
    return 100 * (network.eval()(images).argmax(1) == labels).double().mean().item()


def swap_accuracies(networks: Sequence[TResNet], data: Digits, profile: Profile) -> list[Record]:
    """Accuracy on held-out digits with each of `SWAPS` in place of the gates: a record each, over
    the networks.
    """
    found: dict[str, list[float]] = {name: [] for name in SWAPS}
    for network in networks:
        known, own = gates(network, data.images), gates(network, data.held_out_images)
        for name, swap in SWAPS.items():
            with swapped(network, {layer: swap(known[layer], own[layer]) for layer in own}):
                found[name].append(accuracy(network, data.held_out_images, data.held_out_labels))
    provenance = collect(profile.device)
    ran = Conditions(BATCH, SIDE, norm=norm_backend(networks[0]))
    return [
        Record("se", "digits", name, "inference", "top1", _over(f), ran, provenance)
        for name, f in found.items()
    ]


def _over(values: Sequence[float]) -> Spread:
    q1, median, q3 = quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3
    return Spread(median, q1, q3, len(values))


def accuracies(records: Sequence[Record]) -> pd.DataFrame:
    """The same as a table. Columns: gates, right (per cent), q1, q3, networks."""

    chosen = [r for r in records if (r.suite, r.case, r.metric) == ("se", "digits", "top1")]
    rows = [(r.model, r.value.median, r.value.q1, r.value.q3, r.value.repeats) for r in chosen]
    return pd.DataFrame(rows, columns=["gates", "right", "q1", "q3", "networks"])

"""The network that a run trains, by name, and the weights that it may start from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tresnet_lite.ablation import ablation_ladder
from tresnet_lite.checkpoints import read_checkpoint, unwrap, without_secrets
from tresnet_lite.model import TResNet, TResNetConfig, list_models, variant
from tresnet_lite.train.overrides import nearest, with_overrides
from tresnet_lite.weights import fitting, load_weights, to_timm_layout

SIZE_FIELDS = ("num_classes", "in_chans")
LAST = "last.pt"  # in a run's folder: the checkpoint to go on from


def find_config(name: str) -> TResNetConfig | None:
    """The configuration behind our name, a rung of Table 4 or its number from 0; else None."""
    ladder = ablation_ladder()
    if name.isdecimal():
        rungs = list(ladder.values())
        if int(name) >= len(rungs):
            raise ValueError(f"Table 4 has the rungs 0 to {len(rungs) - 1}, not {name}")
        return rungs[int(name)]
    return variant(name) if name in list_models() else ladder.get(name)


def build_network(name: str, *, num_classes: int, in_chans: int = 3, **overrides: Any) -> nn.Module:
    """A network with fresh weights.

    Args:
        name: one of `list_models()`; a rung of Table 4 by its label ("+ AA") or its number from 0;
            or a model of timm.
        overrides: fields of `TResNetConfig`, for ours; texts are converted.

    Raises:
        ValueError: an unknown name or field (the message says the nearest), or overrides for timm.
    """
    if (config := find_config(name)) is not None:
        return TResNet(with_overrides(config, overrides), num_classes, in_chans)
    import timm

    if not timm.is_model(name):
        known = [*list_models(), *ablation_ladder(), *timm.list_models()]
        raise ValueError(f"no model {name!r}; {nearest(name, known)}")
    if overrides:
        raise ValueError(f"{', '.join(overrides)}: options of our networks, not of timm's {name}")
    return timm.create_model(name, num_classes=num_classes, in_chans=in_chans)


def refuse_other_size(network: nn.Module, size: int) -> None:
    """Refuse, with a ValueError, images of a size that one of timm's networks does not take."""
    about = getattr(network, "pretrained_cfg", None) or {}
    side = about.get("input_size", (0,))[-1]
    if about.get("fixed_input_size") and size != side:
        raise ValueError(f"size is {size}: this network takes {side} pixels (--size {side})")


def describe_network(model: nn.Module, name: str | None = None) -> dict[str, Any]:
    """What a network is, in plain values: to rebuild it, and for a resumed run to compare."""
    about = {"name": name or type(model).__name__}
    about |= {size: getattr(model, size, None) for size in SIZE_FIELDS}
    if isinstance(model, TResNet):
        return {**about, "config": asdict(model.config)}
    return {**about, "parameters": sum(p.numel() for p in model.parameters())}


def rebuild_network(description: Mapping[str, Any], state: Mapping[str, torch.Tensor]) -> nn.Module:
    """The network that was described, with the weights of `state`.

    The description comes from a file, so it is compared with the weights before any are created.

    Raises:
        ValueError: it describes no known network, or one that the weights do not fit.
    """
    sizes = {size: description[size] for size in SIZE_FIELDS}
    if "config" in description:
        config = with_overrides(TResNetConfig(), description["config"])
        if sum(config.depths) > len(state):
            raise ValueError(f"depths of {config.depths}, with weights of {len(state)} names")
        build = partial(TResNet, config, **sizes)
    else:
        build = partial(build_network, description["name"], **sizes)
    with torch.device("meta"):  # shapes without memory
        fitting(dict(state), build().state_dict())
    network = build()
    network.load_state_dict(state)
    return network


def initialise_from(model: nn.Module, source: str | Path) -> str:
    """Load weights to go on from, in place, but no classifier for other classes; says what it did.

    Args:
        source: as for `load_weights`, or the folder of a run.

    Raises:
        what `load_weights` raises.
    """
    last = Path(source, LAST)
    source = last if last.is_file() else source
    ours = isinstance(model, TResNet)
    checkpoint, own = read_checkpoint(source), model.state_dict()
    state = to_timm_layout(checkpoint) if ours else unwrap(checkpoint)
    # timm names several for some networks, and none for others
    names = "head.fc" if ours else model.pretrained_cfg.get("classifier") or ()
    classifiers = tuple(f"{name}." for name in ([names] if isinstance(names, str) else names))
    keys = [key for key in own if key.startswith(classifiers)]
    fresh = any(key in state and state[key].shape != own[key].shape for key in keys)
    if fresh:
        state = {**state, **{key: own[key] for key in keys}}
    if ours:
        load_weights(model, state)
    else:
        model.load_state_dict(fitting(state, own))
    but = ", but for the classifier, which is for other classes" if fresh else ""
    return f"weights from {without_secrets(str(source))}{but}"

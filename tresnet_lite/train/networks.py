"""The network that a run trains, by name, and the weights that it may start from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import nn

from tresnet_lite.ablation import ablation_ladder
from tresnet_lite.model import TResNet, TResNetConfig, list_models, variant
from tresnet_lite.train.overrides import nearest, with_overrides
from tresnet_lite.weights import load_weights, read_checkpoint, to_timm_layout, unwrap


def find_config(name: str) -> TResNetConfig | None:
    """The configuration behind one of our names, a rung of Table 4 or its number from 0; None for
    timm's models.
    """
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
        ValueError: an unknown name or field (the message says the nearest), or overrides for a
            model of timm.
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


def describe_network(model: nn.Module, name: str | None = None) -> dict[str, Any]:
    """What a network is, in plain values: enough for `rebuild_network`, and for a resumed run to
    compare.
    """
    if isinstance(model, TResNet):
        sizes = {"num_classes": model.num_classes, "in_chans": model.in_chans}
        return {"name": name or "TResNet", **sizes, "config": asdict(model.config)}
    parameters = sum(p.numel() for p in model.parameters())
    sizes = {
        "num_classes": getattr(model, "num_classes", None),
        "in_chans": getattr(model, "in_chans", None),
    }
    return {"name": name or type(model).__name__, **sizes, "parameters": parameters}


def rebuild_network(description: Mapping[str, Any]) -> nn.Module:
    """The network, with fresh weights, that `describe_network` described. ValueError if it was no
    known one.
    """
    sizes = {name: description[name] for name in ("num_classes", "in_chans")}
    if "config" in description:
        return TResNet(with_overrides(TResNetConfig(), description["config"]), **sizes)
    return build_network(description["name"], **sizes)


def initialise_from(model: nn.Module, source: str | Path) -> str:
    """Load weights to go on from, in place; a classifier for other classes stays fresh. What was
    done, in a sentence.

    Raises:
        what `load_weights` raises.
    """
    ours = isinstance(model, TResNet)
    checkpoint, own = read_checkpoint(source), model.state_dict()
    state = to_timm_layout(checkpoint) if ours else unwrap(checkpoint)
    classifier = "head.fc" if ours else model.pretrained_cfg["classifier"]
    keys = [key for key in own if key.startswith(f"{classifier}.")]
    fresh = any(key in state and state[key].shape != own[key].shape for key in keys)
    state = {**state, **({key: own[key] for key in keys} if fresh else {})}
    if ours:
        load_weights(model, state)
    else:
        model.load_state_dict(state)
    return f"weights from {source}" + (
        ", but for the classifier, which is for other classes" if fresh else ""
    )

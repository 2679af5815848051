"""Published weights into our models and back; BatchNorm and Inplace-ABN into each other.

Checkpoints come in three layouts: timm's (ours too), the authors' (``conv1.0.weight``, with or
without the blur's ``filt`` buffers), and torchvision's for ResNet50. Wrappers such as
``{"model": …}`` and prefixes such as ``module.`` are `checkpoints.unwrap`'s.
"""

import re
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from tresnet_lite.checkpoints import StateDict, read_checkpoint, unwrap
from tresnet_lite.layers import InPlaceABN
from tresnet_lite.model import ConvNormAct, TResNet, make_activation

PUBLISHED_EPS = 1e-5  # Inplace-ABN's |w| + eps, as the authors trained


def load_weights(model: TResNet, source: str | Path | Mapping[str, Any]) -> TResNet:
    """Load a checkpoint of any known layout into ``model``, strictly, and return the model.

    Args:
        model: a network of the same architecture, compiled or wrapped or not; the classifier must
            have the same number of classes.
        source: a state dict; a path (``.pth``, ``.safetensors``); a URL, which may end in the
            file's ``#sha256=…``; or a name on the Hugging Face hub such as
            ``timm/tresnet_m.miil_in1k``.

    Raises:
        FileNotFoundError: no such file.
        ConnectionError: a URL or hub name that cannot be reached from here.
        ValueError: what was found is not a checkpoint, holds NaN, or does not fit; the error lists
            differing keys and shapes, and the model stays as it was.
    """
    state = to_timm_layout(source if isinstance(source, Mapping) else read_checkpoint(source))
    network: Any = model
    # torch.compile and DistributedDataParallel put the network into a module of their own
    while (inner := getattr(network, "_orig_mod", getattr(network, "module", None))) is not None:
        network = inner
    network.load_state_dict(fitting(state, network.state_dict()), strict=True)
    return model


def to_timm_layout(checkpoint: Mapping[str, Any]) -> StateDict:
    """Rename a checkpoint of any known layout to timm's; norm weights end in BatchNorm's reading.

    The authors' weights were trained under Inplace-ABN's |w| + 1e-5 and get exactly that; the
    others are BatchNorm's already.
    """
    state = unwrap(checkpoint)
    if any(re.search(r"conv\d\.0\.(0\.)?weight$", key) for key in state):
        return {
            new: value.abs() + PUBLISHED_EPS if new.endswith("bn.weight") else value
            for key, value in state.items()
            if not key.endswith(".filt") and (new := _from_authors(key))
        }
    if "conv1.weight" in state and "bn1.weight" in state:
        return {_from_torchvision(key): value for key, value in state.items()}
    return state


def _from_authors(key: str) -> str:
    """``layer2.0.conv1.0.1.bias`` → ``layer2.0.conv1.bn.bias``; a blur nests once more."""
    part = {"0": "conv", "1": "bn"}
    key = re.sub(r"(conv\d)\.0\.([01])\.", lambda m: f"{m[1]}.{part[m[2]]}.", key)
    key = re.sub(r"(conv\d)\.([01])\.", lambda m: f"{m[1]}.{part[m[2]]}.", key)
    return re.sub(r"(downsample\.\d)\.([01])\.", lambda m: f"{m[1]}.{part[m[2]]}.", key)


def _from_torchvision(key: str) -> str:
    """``layer1.0.bn2.bias`` → ``body.layer1.0.conv2.bn.bias``; for timm's ``resnet50`` too."""
    key = re.sub(r"\bconv(\d)\.", r"conv\1.conv.", key)
    key = re.sub(r"\bbn(\d)\.", r"conv\1.bn.", key)
    key = key.replace("downsample.0.", "downsample.0.conv.").replace(
        "downsample.1.", "downsample.0.bn."
    )
    return f"head.{key}" if key.startswith("fc.") else f"body.{key}"


def fitting(state: StateDict, expected: StateDict) -> StateDict:
    """The state, if its names and shapes are a model's own and its values finite; else ValueError.

    It gets ``num_batches_tracked`` at 0 where, as under Inplace-ABN, it has none.
    """
    if not any(key.endswith("num_batches_tracked") for key in state):
        counters = (key for key in expected if key.endswith("num_batches_tracked"))
        state = {**state, **{key: torch.zeros_like(expected[key]) for key in counters}}
    _refuse_misfits(state, expected)
    return state


def _refuse_misfits(state: StateDict, expected: StateDict) -> None:
    shapes = [
        f"{key}: checkpoint {tuple(state[key].shape)}, model {tuple(expected[key].shape)}"
        for key in sorted(expected.keys() & state.keys())
        if state[key].shape != expected[key].shape
    ]
    floats = (key for key, value in sorted(state.items()) if value.is_floating_point())
    broken = [key for key in floats if not state[key].isfinite().all()]
    misfits = {
        "missing in the checkpoint": sorted(expected.keys() - state.keys()),
        "not in the model": sorted(state.keys() - expected.keys()),
        "of another shape": shapes,
        "with NaN or infinity, as after a training that diverged": broken,
    }
    lines = [
        f"{len(keys)} {what}: " + "; ".join(keys[:8]) + (" …" if len(keys) > 8 else "")
        for what, keys in misfits.items()
        if keys
    ]
    if any(line.startswith("head.fc.") for line in shapes):
        lines.append("the classifiers differ: build the model with the checkpoint's num_classes")
    if lines:
        raise ValueError("the checkpoint does not fit the model:\n  " + "\n  ".join(lines))


def to_batchnorm(model: nn.Module) -> nn.Module:
    """A copy of the model with BatchNorm2d and a separate activation in place of each Inplace-ABN.

    The function is the same in eval and in training, and in our networks the names of the
    parameters too (elsewhere the pair becomes an ``nn.Sequential``). For export, ONNX, and tools
    that know only BatchNorm.
    """
    model = deepcopy(model)
    for parent in list(model.modules()):
        for name, abn in list(parent.named_children()):
            if not isinstance(abn, InPlaceABN):
                continue
            sizes = abn.num_features, abn.eps, abn.momentum, abn.affine
            bn = _take_state(nn.BatchNorm2d(*sizes), abn)
            act = make_activation(abn.activation, abn.activation_param)
            if isinstance(parent, ConvNormAct):
                parent.bn, parent.act = bn, act
            else:
                setattr(parent, name, nn.Sequential(bn, act))
    return _with_norm(model, "bn")


def to_inplace_abn(model: nn.Module) -> nn.Module:
    """A copy of one of our networks with Inplace-ABN for each BatchNorm2d and its activation.

    The function is the same in eval and in training, for weights of any sign: Inplace-ABN reads
    them as BatchNorm does (``weight_sign="signed"``).
    """
    model = deepcopy(model)
    for unit in model.modules():
        if isinstance(unit, ConvNormAct) and isinstance(unit.bn, nn.BatchNorm2d):
            bn: Any = unit.bn
            sizes = bn.num_features, bn.eps, bn.momentum, bn.affine
            abn = InPlaceABN(*sizes, *_describe(unit.act), weight_sign="signed")
            unit.bn, unit.act = _take_state(abn, bn), nn.Identity()
    return _with_norm(model, "iabn")


def _take_state(new: nn.Module, old: nn.Module) -> nn.Module:
    """Give ``new`` the state of ``old``, its device, dtype, mode and frozen parameters."""
    state = old.state_dict()
    if isinstance(old, InPlaceABN) and old.weight_sign == "abs":
        state["num_batches_tracked"] = torch.tensor(0)
        if old.affine:
            state["weight"] = state["weight"].abs() + old.eps
    mean = old.get_buffer("running_mean")
    new.to(mean.device, mean.dtype).train(old.training).load_state_dict(state)
    for name, parameter in new.named_parameters():
        parameter.requires_grad_(old.get_parameter(name).requires_grad)
    return new


def _describe(activation: nn.Module) -> tuple[str, float]:
    if isinstance(activation, nn.LeakyReLU):
        return "leaky_relu", activation.negative_slope
    return ("relu", 0.0) if isinstance(activation, nn.ReLU) else ("identity", 0.0)


def _with_norm(model: nn.Module, norm: Literal["iabn", "bn"]) -> nn.Module:
    if isinstance(model, TResNet):
        model.config = replace(model.config, norm=norm)
    return model

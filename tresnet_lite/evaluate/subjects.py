"""What is evaluated: a network with its weights, and how it wants its images."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tresnet_lite.checkpoints import file_name, read_checkpoint, unwrap
from tresnet_lite.evaluate.accuracy import SQUASHED, weights_of
from tresnet_lite.model import TResNet, list_models
from tresnet_lite.records.text import clean
from tresnet_lite.train.networks import build_network, find_config, refuse_other_size
from tresnet_lite.train.overrides import nearest
from tresnet_lite.train.recipe import Recipe
from tresnet_lite.train.run_folder import EXACT, TRAINED, load_trained, whole
from tresnet_lite.transforms import eval_transform
from tresnet_lite.weights import fitting, load_weights, to_timm_layout

PROTOCOLS = ("crop", "squash")
PUBLISHED = ("tresnet_m", "tresnet_l", "tresnet_xl")  # the paper's


@dataclass(frozen=True)
class Subject:
    """A network in evaluation mode.

    Attributes:
        name: as records have it; weights that are not published have their file's and a digest.
        size: side of its images in pixels.
        squash: resize to a square, or crop.
        transform: PIL image → (C, size, size).
        standardise: whether that takes ImageNet's mean and std off.
        trained_on: what its run says of its data, with "trained": the images that no accuracy may
            count; None for weights from elsewhere.
    """

    name: str
    network: nn.Module
    num_classes: int
    channels: int
    size: int
    squash: bool
    transform: Callable = field(repr=False)
    standardise: bool = False
    trained_on: Mapping[str, Any] | None = None

    @property
    def protocol(self) -> str:
        return "squash" if self.squash else "crop"


def subject(
    model: str | None = None,
    weights: str | Path | None = None,
    *,
    size: int | None = None,
    protocol: str | None = None,
    standardise: bool = False,
) -> Subject:
    """A network by name, with weights from a file or from the hub.

    Args:
        model: one of ours; published weights by timm's name ("tresnet_m.miil_in1k_448"); any model
            of timm. One of ours without weights or tag has the paper's. None where `weights` is a
            checkpoint of a run.
        weights: a run's folder or checkpoint, another checkpoint, a URL or a hub name.
        size: pixels; None as the weights were trained.
        protocol: "crop" or "squash"; None as the authors did, squash from 448 on, or as timm does.
        standardise: for one of our networks with weights from elsewhere (torchvision's ResNet50):
            by ImageNet's mean and std. A run's checkpoint and timm's models say so themselves.

    Raises:
        ValueError: names or settings that do not fit each other.
        FileNotFoundError, ConnectionError: weights that are not there.
    """
    if protocol not in (None, *PROTOCOLS):
        raise ValueError(f"protocol is {protocol!r}: crop or squash")
    if size is not None and size < 1:
        raise ValueError(f"size is {size}: it must be at least 1 pixel")
    squash = None if protocol is None else protocol == "squash"
    if weights is not None and (run := _run_checkpoint(weights)):
        _refuse_standardise(standardise, "a run says itself how its images are standardised")
        return _of_run(model, run, size, squash)
    if model is None:
        raise ValueError("--model is missing: these weights do not say what network they are for")
    if find_config(_base(model)):
        return _of_ours(model, weights, size, squash, standardise)
    _refuse_standardise(standardise, "timm says itself how its models' images are standardised")
    return _of_timm(model, weights, size, squash)


def _refuse_standardise(standardise: bool, why: str) -> None:
    if standardise:
        raise ValueError(f"--standardise has no effect here, as {why}: leave it out")


def published_name(model: str, size: int | None) -> str:
    """The paper's weights of our network for a size: "tresnet_m.miil_in1k_448"; or ValueError."""
    if "." in model:
        return model
    if model not in PUBLISHED:
        names = ", ".join(PUBLISHED)
        why = f"the paper has no published weights of {model}, but of {names}"
        tags = "resnet50.a1_in1k or tresnet_v2_l.miil_in21k_ft_in1k"
        raise ValueError(f"{why}: give --weights, or timm's name with its tag, such as {tags}")
    return weights_of(model, size or 224)


def _of_ours(
    model: str, weights: str | Path | None, size: int | None, squash: bool | None, standardise: bool
) -> Subject:
    """One of our networks; its classifier is as large as the checkpoint's."""
    name = published_name(model, size) if weights is None else model
    state = to_timm_layout(read_checkpoint(f"timm/{name}" if weights is None else weights))
    if "head.fc.weight" not in state:
        why = "the checkpoint has no classifier (head.fc.weight)"
        raise ValueError(f"{why}, so it is none of {model}")
    classes = len(state["head.fc.weight"]) if state["head.fc.weight"].ndim else 1
    with torch.device("meta"):  # the checkpoint's word for its classes is no reason to make them
        fitting(state, build_network(_base(model), num_classes=classes).state_dict())
    network = load_weights(build_network(_base(model), num_classes=classes), state).eval()
    if weights is not None:
        name = _own_name(model, weights, network)
    size = size or (SQUASHED if "_448" in name.partition(" ")[0] else 224)
    squash = size >= SQUASHED if squash is None else squash
    transform = eval_transform(size, squash=squash, standardise=standardise)
    return Subject(name, network, classes, 3, size, squash, transform, standardise)


def _base(model: str) -> str:
    """Our name of a network: "tresnet_m" of "tresnet_m.miil_in1k". Other names have no tag."""
    return model.partition(".")[0] if model.startswith("tresnet_") else model


def _run_checkpoint(weights: str | Path) -> Path | None:
    """The path, if a run of `tresnet_lite.train` is there."""
    path = Path(weights).expanduser()
    if path.is_dir():
        return path
    if not path.is_file() or path.suffix == ".safetensors":
        return None
    return path if EXACT in read_checkpoint(path) else None


def _of_run(model: str | None, path: Path, size: int | None, squash: bool | None) -> Subject:
    """A network that was trained here, evaluated as its recipe says."""
    network, identity = load_trained(path)
    about = identity["model"]
    with whole(path):
        recipe = Recipe(**identity["recipe"])
        if not all(isinstance(name, str) for name in identity["data"].get("class_names", [])):
            raise ValueError("its classes' names are no texts")
    if model not in (None, about["name"]):
        raise ValueError(f"{path} is a run of {about['name']}, not of {model}")
    size = size or recipe.size
    by_recipe = size >= SQUASHED if recipe.squash is None else recipe.squash
    squash = by_recipe if squash is None else squash
    ways = {"squash": squash, "standardise": recipe.standardise}
    transform = eval_transform(size, channels=about["in_chans"], **ways)
    name = _own_name(about["name"], (path if path.is_dir() else path.parent).resolve(), network)
    data = {**identity["data"], TRAINED: identity[TRAINED]}
    sizes = (about["num_classes"], about["in_chans"], size)
    return Subject(name, network, *sizes, squash, transform, recipe.standardise, data)


def _of_timm(
    model: str, weights: str | Path | None, size: int | None, squash: bool | None
) -> Subject:
    """A model of timm's, with its own mean, std, interpolation and crop unless given others."""
    import timm
    from timm.data import create_transform, resolve_model_data_config

    if not timm.is_model(model):
        known = [*list_models(), *timm.list_models()]
        raise ValueError(f"no model {model!r}; {nearest(model, known)}")
    name = model
    try:
        network = timm.create_model(model, pretrained=weights is None).eval()
    except OSError as error:
        why = f"the weights of {model} cannot be fetched from here ({type(error).__name__})"
        raise ConnectionError(f"{why}: copy them, give --weights") from error
    except RuntimeError as error:  # timm's word for a model that has no published weights
        raise ValueError(f"{model}: {error}") from error
    if weights is not None:
        state = unwrap(read_checkpoint(weights))
        network.load_state_dict(fitting(state, network.state_dict()))
        name = _own_name(model, weights, network)
    settings = resolve_model_data_config(network)
    if size is not None:
        refuse_other_size(network, size)
        settings["input_size"] = (settings["input_size"][0], size, size)
    if squash is not None:
        mode, share = ("squash", 1.0) if squash else ("center", 0.875)
        settings |= {"crop_mode": mode, "crop_pct": share}
    channels, size, _ = settings["input_size"]
    transform = create_transform(**settings, is_training=False)
    squash, standardise = settings["crop_mode"] == "squash", any(settings["mean"])
    sizes = (network.num_classes, channels, size)
    return Subject(name, network, *sizes, squash, transform, standardise)


def _own_name(model: str, weights: str | Path, network: nn.Module) -> str:
    """The name of weights that are not published: their file, and a digest."""
    return f"{model} ({clean(file_name(weights), 100)}, {weights_digest(network)})"


def weights_digest(network: nn.Module) -> str:
    """Eight hexadecimal digits that differ where the weights do."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return digest.hexdigest()[:8]


def describe(subject: Subject) -> dict[str, Any]:
    """What predictions depend on besides the images, in plain values."""
    return {
        "model": subject.name,
        "weights": weights_digest(subject.network),
        "implementation": "ours" if isinstance(subject.network, TResNet) else "timm's",
        "size": subject.size,
        "protocol": subject.protocol,
        "standardise": subject.standardise,
    }

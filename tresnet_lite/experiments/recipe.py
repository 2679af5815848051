"""The recipe of §3.1 taken apart: what each ingredient does in numbers, and what a small network
loses without it.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache

import pandas as pd
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import Subset

from tresnet_lite.bench.compare import norm_backend
from tresnet_lite.experiments.small_runs import one_thread, recorded, train_missing
from tresnet_lite.findings.statistics import holm, interval, paired_p, word
from tresnet_lite.model import create_model
from tresnet_lite.profiles import Profile
from tresnet_lite.records import Conditions, Failure, Record, Spread, collect
from tresnet_lite.records.store import Measured
from tresnet_lite.train.data import Data, load_data
from tresnet_lite.train.engine import NonFiniteLoss, Result, train
from tresnet_lite.train.networks import build_network
from tresnet_lite.train.optimisation import make_optimizer, parameter_groups
from tresnet_lite.train.recipe import INGREDIENTS, Recipe, make_recipe
from tresnet_lite.transforms import train_transform

SUITE = "training"
FULL = "full recipe"
# an eighth of TResNet-M's width
SMALL = {
    "width": 8,
    "depths": (1, 1, 1, 1),
    "se_reduction": "paper",
}

# What §3.1 and Table 3 say themselves; all else in the recipe had to be decided.
STATED = {
    "epochs": "300 epochs",
    "size": "resolution 224",
    "schedule": "1-cycle",
    "decoupled": "true weight decay",
    "label_smoothing": "label smoothing, amount not stated",
    "autoaugment": "AutoAugment",
    "cutout": "Cutout, settings not stated",
    "standardise": "pixels in [0, 1]",
    "amp": "mixed precision",
}


@dataclass(frozen=True)
class Plan:
    """How the small networks of a profile are trained.

    Attributes:
        images: how many of the digits to train on, and a third of that to test; None for all.
        minutes: begin no training after that; None for no end.
    """

    epochs: int
    seeds: int
    images: int | None = None
    minutes: float | None = None

    def __str__(self) -> str:
        images = f"{self.images} digits" if self.images else "all digits"
        end = f", for {self.minutes:g} minutes at most" if self.minutes else ""
        seeds, epochs = (
            f"{n} {what}{'s' * (n > 1)}"
            for n, what in ((self.seeds, "seed"), (self.epochs, "epoch"))
        )
        return f"{seeds}, {epochs} of {images}{end}"


PLANS = {
    "smoke": Plan(epochs=1, seeds=1, images=192),
    "cpu": Plan(epochs=4, seeds=3, minutes=1.4),
    "gpu": Plan(epochs=20, seeds=5, minutes=6),
}


def plan(profile: Profile, *, seeds: int | None, epochs: int | None, minutes: float | None) -> Plan:
    """A profile's plan, with what is given in place of its own.

    Raises:
        ValueError: no seed, or no epoch.
    """
    given = {"seeds": seeds, "epochs": epochs, "minutes": minutes}
    found = replace(
        PLANS[profile.name], **{name: value for name, value in given.items() if value is not None}
    )
    for name in ("seeds", "epochs"):
        if getattr(found, name) < 1:
            raise ValueError(f"{name} is {getattr(found, name)}: it must be at least 1")
    return found


# Ingredient by ingredient.


def fields_of(recipe: Recipe) -> pd.DataFrame:
    """A recipe field by field: its value, and what the paper says of it. Columns: field, value,
    stated.
    """

    rows = [
        (name, f"{value}", STATED.get(name, "not stated")) for name, value in asdict(recipe).items()
    ]
    return pd.DataFrame(rows, columns=["field", "value", "stated"])


def decays(
    steps: Sequence[int], *, lr: float = 0.1, weight_decay: float = 1e-2, momentum: float = 0.9
) -> pd.DataFrame:
    """A weight of 1 whose loss has no slope, after so many steps of each kind of decay.

    Columns: steps, decoupled, l2 (without momentum), l2_momentum (with it).
    """

    base = Recipe(lr=lr, weight_decay=weight_decay, momentum=momentum, momentum_low=0.0)
    recipes = {
        "decoupled": base,
        "l2": replace(base, decoupled=False, momentum=0.0),
        "l2_momentum": replace(base, decoupled=False),
    }
    paths = {name: _decayed(recipe, max(steps)) for name, recipe in recipes.items()}
    return pd.DataFrame(
        [{"steps": n} | {name: path[n] for name, path in paths.items()} for n in steps]
    )


def _decayed(recipe: Recipe, steps: int) -> list[float]:
    """A weight before the first step, and after each."""
    layer = nn.Linear(1, 1, bias=False).double()
    nn.init.ones_(layer.weight)
    layer.weight.grad = torch.zeros_like(layer.weight)
    optimizer, path = make_optimizer(layer, recipe), [1.0]
    for _ in range(steps):
        optimizer.step()
        path.append(layer.weight.item())
    return path


def decay_groups(model: str = "tresnet_m") -> pd.DataFrame:
    """Which parameters decay. Columns: what, tensors, numbers, decay."""

    with torch.device("meta"):
        groups = parameter_groups(create_model(model), make_recipe("imagenet"))
    rows = [
        {
            "what": (
                "weights of convolutions and classifier"
                if group["weight_decay"]
                else "norms and biases"
            ),
            "tensors": len(group["params"]),
            "numbers": sum(parameter.numel() for parameter in group["params"]),
            "decay": group["weight_decay"],
        }
        for group in groups
    ]
    return pd.DataFrame(rows).sort_values("decay", ascending=False, ignore_index=True)


def smoothed(classes: Sequence[int], smoothing: float) -> pd.DataFrame:
    """Targets under label smoothing, and what the loss is least at.

    Columns: classes, true, other, gap (of the true class's logit to the others' where the loss is
    least), least_loss.
    """

    rows = []
    for k in classes:
        other = smoothing / k
        true = 1 - smoothing + other
        least = -true * math.log(true) - (k - 1) * other * math.log(other)
        row = {
            "classes": k,
            "true": true,
            "other": other,
            "gap": math.log(true / other),
            "least_loss": least,
        }
        rows.append(row)
    return pd.DataFrame(rows)


def shipped_photographs() -> dict[str, Image.Image]:
    """Two photographs that come with scikit-learn."""
    from sklearn.datasets import load_sample_image

    return {name: Image.fromarray(load_sample_image(f"{name}.jpg")) for name in ("china", "flower")}


def augmented(
    photograph: Image.Image, size: int = 96, *, seed: int = 7
) -> list[tuple[str, Tensor]]:
    """A photograph as it is, after each augmentation alone, and twice after all of them: names and
    (H, W, 3) images.
    """
    none = {"autoaugment": "off", "cutout": 0.0, "crop_area": 1.0, "flip": False}
    ways = {
        "as it is": none,
        "crop, flip": none | {"crop_area": 0.08, "flip": True},
        "AutoAugment": none | {"autoaugment": "imagenet"},
        "Cutout": none | {"cutout": 1.0},
        "all": {},
        "all, again": {},
    }
    shown = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for name, options in ways.items():
            shown.append((name, train_transform(size, **options)(photograph).permute(1, 2, 0)))
    return shown


# A small network, with all ingredients and without each.


def recipes(epochs: int) -> dict[str, Recipe]:
    """The recipe for digits, whole and without each ingredient in turn."""
    whole = make_recipe("digits", epochs=epochs)
    return {FULL: whole} | {
        f"without {name}": replace(whole, **out) for name, out in INGREDIENTS.items()
    }


def small_network(seed: int) -> nn.Module:
    """A TResNet-M of an eighth of its width and four blocks, for digits, with weights from a
    seed.
    """
    torch.manual_seed(seed)
    return build_network("tresnet_m", num_classes=10, in_chans=1, **SMALL)


@cache
def images_of(images: int | None) -> Data:
    """The digits, or the first `images` of them to train on and a third as many to test."""
    data = load_data("digits")
    if images is None:
        return data
    parts = {
        "train": Subset(data.train, range(images)),
        "test": Subset(data.test, range(images // 3)),
    }
    return replace(data, name=f"{images} digits", **parts)


def one_run(profile: Profile, chosen: Plan, *, seed: int = 0) -> Result:
    """Train the small network by the whole recipe."""
    recipe, data = recipes(chosen.epochs)[FULL], images_of(chosen.images)
    with one_thread():
        return train(small_network(seed), data, recipe, seed=seed, device=profile.device, tell=None)


def measure(profile: Profile, chosen: Plan) -> Measured:
    """Train with all ingredients and without each, seed by seed, as far as the plan's minutes go.

    The next call goes on. Every network is a record, so that none is trained twice.
    """
    tasks = [
        (name, seed, chosen.epochs, chosen.images)
        for seed in range(chosen.seeds)
        for name in recipes(1)
    ]
    train_missing(_train, tasks, point, profile, minutes=chosen.minutes)
    return recorded(profile, SUITE)


def case(epochs: int, images: int | None) -> str:
    """What a record is filed under."""
    return f"{images_of(images).name}, {epochs} epoch{'s' if epochs > 1 else ''}"


def point(name: str, seed: int, epochs: int, images: int | None) -> str:
    """What makes two trainings the same: the settings, and recipe and network in short."""
    settings = json.dumps([asdict(recipes(epochs)[name]), SMALL], sort_keys=True)
    return (
        f"{SUITE}: {case(epochs, images)}, seed {seed}, {name}"
        f" ({hashlib.sha256(settings.encode()).hexdigest()[:8]})"
    )


def _train(
    name: str, seed: int, epochs: int, images: int | None, profile: Profile
) -> Record | Failure:
    """Train one network and tell its accuracy on the held-out images, or that its loss is no
    number.
    """
    told = {"suite": SUITE, "case": case(epochs, images), "model": name, "phase": "training"}
    told |= {"point": point(name, seed, epochs, images), "provenance": collect(profile.device)}
    told |= {"seed": seed}
    recipe, network = recipes(epochs)[name], small_network(seed)
    try:
        result = train(
            network, images_of(images), recipe, seed=seed, device=profile.device, tell=None
        )
    except NonFiniteLoss as failure:
        return Failure(error="diverged", message=str(failure), **told)
    ran = Conditions(recipe.batch, recipe.size, norm=norm_backend(network))
    return Record(
        metric="top1",
        value=Spread(result.top1, result.top1, result.top1, 1),
        conditions=ran,
        **told,
    )


def differences(run: pd.DataFrame) -> pd.DataFrame:
    """The recipe without each ingredient against the whole, paired by seed and corrected together.

    Args:
        run: one run of `accuracy_statistics.results`; its column "rung" has the recipes' names.

    Columns: name, mean and interval (%), change (points) with low, high and changes (as text),
    seeds, p, corrected (Holm), word.
    """

    wide = run.pivot(index="seed", columns="rung", values="top1")
    rows = []
    for name in [n for n in recipes(1) if n in wide]:
        values = wide[name].dropna().tolist()
        row = {
            "name": name,
            "mean": sum(values) / len(values),
            "interval": _told(interval(values), ".2f"),
        }
        row |= {
            "seeds": len(values),
            "change": math.nan,
            "low": math.nan,
            "high": math.nan,
            "changes": "–",
        }
        row |= {"p": math.nan}
        if name != FULL and FULL in wide and (off := (wide[name] - wide[FULL]).dropna().tolist()):
            low, high = interval(off)
            row |= {
                "change": sum(off) / len(off),
                "low": low,
                "high": high,
                "changes": _told((low, high), "+.2f"),
            }
            row |= {"p": paired_p(off)}
        rows.append(row)
    frame = pd.DataFrame(rows)
    frame["corrected"] = holm(frame["p"].tolist())
    said = zip(frame["name"], frame["change"], frame["corrected"], strict=True)
    return frame.assign(word=["" if name == FULL else word(change, p) for name, change, p in said])


def _told(bounds: tuple[float, float], spec: str) -> str:
    low, high = bounds
    return "–" if math.isnan(low) else f"{low:{spec}} to {high:{spec}}"


def epochs_of(result: Result) -> Mapping[str, list[float]]:
    """Accuracies after each epoch, in per cent: of the augmented training images, and of the test
    images.
    """
    return {
        "training, augmented": [epoch["train_top1"] for epoch in result.history],
        "test, averaged weights": [epoch["top1"] for epoch in result.history],
    }

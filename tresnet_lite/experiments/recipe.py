"""The recipe of §3.1 taken apart: its ingredients in numbers, and small networks without each.

The small networks are records (suite "training").
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from typing import ClassVar

import pandas as pd
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import Subset

from tresnet_lite.bench.compare import norm_backend
from tresnet_lite.experiments.small_training import one_thread
from tresnet_lite.experiments.studies import Study, adjusted
from tresnet_lite.findings import statistics
from tresnet_lite.model import create_model
from tresnet_lite.profiles import DTYPES, Profile
from tresnet_lite.records import Conditions
from tresnet_lite.records.text import plural
from tresnet_lite.train.data import Data, load_data
from tresnet_lite.train.digits import SIDE, digits
from tresnet_lite.train.engine import Result, train
from tresnet_lite.train.networks import build_network
from tresnet_lite.train.optimisation import half_type, make_optimizer, parameter_groups
from tresnet_lite.train.recipe import INGREDIENTS, Recipe, make_recipe
from tresnet_lite.transforms import train_transform

FULL = "full recipe"
# an eighth of TResNet-M's width
DIGITS_CONFIG = {"width": 8, "depths": (1, 1, 1, 1), "se_reduction": "paper"}

# What §3.1 and Table 3 say themselves; all else in the recipe had to be decided.
STATED = {
    "epochs": "300 epochs",
    "size": "resolution 224",
    "schedule": "1-cycle",
    "decoupled": "true weight decay; which kind, see below",
    "label_smoothing": "label smoothing, amount not stated",
    "autoaugment": "AutoAugment",
    "cutout": "Cutout, settings not stated",
    "standardise": "pixels in [0, 1]",
    "amp": "mixed precision",
}


# Ingredient by ingredient.


def fields_of(recipe: Recipe) -> pd.DataFrame:
    """A recipe field by field, and what the paper says of it. Columns: field, value, stated."""
    fields = asdict(recipe).items()
    rows = [(name, str(value), STATED.get(name, "not stated")) for name, value in fields]
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
    return pd.DataFrame(paths).loc[list(steps)].rename_axis("steps").reset_index()


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
    rows = []
    for group in groups:
        decay, parameters = group["weight_decay"], group["params"]
        what = "weights of convolutions and classifier" if decay else "norms and biases"
        numbers = sum(parameter.numel() for parameter in parameters)
        rows.append((what, len(parameters), numbers, decay))
    table = pd.DataFrame(rows, columns=["what", "tensors", "numbers", "decay"])
    return table.sort_values("decay", ascending=False, ignore_index=True)


def smoothed(classes: Sequence[int], smoothing: float) -> pd.DataFrame:
    """Targets under label smoothing, and what the loss is least at.

    Columns: classes, true, other, gap (of the true class's logit to the others' where the loss is
    least), least_loss.
    """
    rows = []
    for count in classes:
        other = smoothing / count
        true = 1 - smoothing + other
        least = -true * math.log(true) - (count - 1) * other * math.log(other)
        rows.append((count, true, other, math.log(true / other), least))
    return pd.DataFrame(rows, columns=["classes", "true", "other", "gap", "least_loss"])


def augmented(
    photograph: Image.Image, size: int = 96, *, seed: int = 7
) -> list[tuple[str, Tensor]]:
    """A photograph (H, W, 3) as it is, after each augmentation alone, and twice after all."""
    none = {"autoaugment": "off", "cutout": 0.0, "crop_area": 1.0, "flip": False}
    ways = {
        "as it is": none,
        "crop, flip": none | {"crop_area": 0.08, "flip": True},
        "AutoAugment": none | {"autoaugment": "imagenet"},
        "Cutout": none | {"cutout": 1.0},
        "all": {},
        "all, again": {},
    }
    images = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for name, options in ways.items():
            images.append((name, train_transform(size, **options)(photograph).permute(1, 2, 0)))
    return images


# A small network, with all ingredients and without each.


def recipes(epochs: int) -> dict[str, Recipe]:
    """The recipe for digits, whole and without each ingredient in turn."""
    whole = make_recipe("digits", epochs=epochs)
    parts = {f"without {name}": replace(whole, **out) for name, out in INGREDIENTS.items()}
    return {FULL: whole} | parts


def digits_network(seed: int) -> nn.Module:
    """A TResNet-M of an eighth of its width and four blocks, for digits; a seed draws it."""
    torch.manual_seed(seed)
    return build_network("tresnet_m", num_classes=10, in_chans=1, **DIGITS_CONFIG)


@cache
def digits_data(images: int | None) -> Data:
    """The digits, or the first `images` of them to train on and a third as many to test."""
    data = load_data("digits")
    if images is None:
        return data
    train, test = Subset(data.train, range(images)), Subset(data.test, range(images // 3))
    return replace(data, name=f"{images} digits", train=train, test=test)


@dataclass(frozen=True)
class RecipeStudy(Study):
    """The recipe with all ingredients and without each, for a small network that reads digits."""

    suite: ClassVar[str] = "training"

    def __str__(self) -> str:
        how = self.training
        images = f"{how.images} digits" if how.images else "all digits"
        end = f", for {how.minutes:g} minutes at most" if how.minutes else ""
        return f"{plural(how.seeds, 'seed')}, {plural(how.epochs, 'epoch')} of {images}{end}"

    @property
    def case(self) -> str:
        return f"{digits_data(self.training.images).name}, {plural(self.training.epochs, 'epoch')}"

    def variants(self) -> list[str]:
        return list(recipes(self.training.epochs))

    def identity(self, variant: str) -> str:
        recipe = recipes(self.training.epochs)[variant]
        return json.dumps([asdict(recipe), DIGITS_CONFIG], sort_keys=True)

    def point(self, variant: str, seed: int) -> str:
        return f"{self.suite}: {super().point(variant, seed)}"

    def run(self, variant: str, seed: int, device: str) -> Result:
        """Train one network by a recipe; the result has what happened on the way too."""
        recipe, data = recipes(self.training.epochs)[variant], digits_data(self.training.images)
        return train(digits_network(seed), data, recipe, seed=seed, device=device, tell=None)

    def train(self, variant: str, seed: int, device: str) -> tuple[float, Conditions]:
        result = self.run(variant, seed, device)
        recipe = recipes(self.training.epochs)[variant]
        half = half_type(recipe, torch.device(device))
        dtype = next((name for name, kind in DTYPES.items() if kind == half), "float32")
        ran = Conditions(recipe.batch, recipe.size, dtype, norm=norm_backend(result.model))
        return result.top1, ran


def study(
    profile: Profile,
    *,
    seeds: int | None = None,
    epochs: int | None = None,
    minutes: float | None = None,
) -> RecipeStudy:
    """A profile's study, with settings of one's own in place of its.

    Raises:
        ValueError: no seed, or no epoch.
    """
    return RecipeStudy(adjusted(profile.recipe, seeds=seeds, epochs=epochs, minutes=minutes))


def one_run(study: RecipeStudy, device: str, *, seed: int = 0) -> Result:
    """Train the small network by the whole recipe."""
    with one_thread():
        return study.run(FULL, seed, device)


@cache
def logistic_top1() -> float:
    """Top-1 (%) of logistic regression on the digits' 8×8 pixels, on the images held out."""
    from sklearn.linear_model import LogisticRegression

    data = digits()
    train, test = (
        F.avg_pool2d(x, SIDE // 8).flatten(1) for x in (data.images, data.held_out_images)
    )
    model = LogisticRegression(max_iter=1000).fit(train.numpy(), data.labels.numpy())
    return 100 * model.score(test.numpy(), data.held_out_labels.numpy())


def ingredient_differences(run: pd.DataFrame) -> pd.DataFrame:
    """The recipe without each ingredient against the whole, paired by seed and judged together.

    Args:
        run: one run of `statistics.results`; its column "rung" has the recipes' names.

    Columns: name, mean and interval (%), seeds, change (points) with low, high and changes (as
    text, simultaneous), corrected (p), word.
    """
    names = [name for name in recipes(1) if name in set(run["rung"])]
    parts = [name for name in names if name != FULL]
    means = statistics.means(run, names)[["rung", "mean", "interval", "networks"]]
    changes = statistics.paired(run, [(FULL, name) for name in parts])
    changes = changes.rename(columns={"gain": "change", "interval": "changes"})
    table = means.merge(changes.drop(columns=["base", "seeds"]), on="rung", how="left")
    table = table.rename(columns={"rung": "name", "networks": "seeds"})
    return table.fillna({"changes": "–", "word": ""})


def epochs_of(result: Result) -> Mapping[str, list[float]]:
    """Accuracies after each epoch, %: of the augmented training images, and of the test images."""
    return {
        "training, augmented": [epoch["train_top1"] for epoch in result.history],
        "test, averaged weights": [epoch["top1"] for epoch in result.history],
    }

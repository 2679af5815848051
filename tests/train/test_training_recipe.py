"""Recipes: what the paper states, overrides from a command line, and errors that say what would be
right.
"""

import re
from dataclasses import fields, replace

import pytest

from tresnet_lite import TResNetConfig
from tresnet_lite.train import INGREDIENTS, RECIPES, Recipe, make_recipe
from tresnet_lite.train.overrides import with_overrides


def test_what_the_paper_states():
    recipe = RECIPES["imagenet"]
    # §3.1
    assert (recipe.epochs, recipe.size, recipe.schedule, recipe.decoupled) == (
        300,
        224,
        "1cycle",
        True,
    )
    assert (
        recipe.label_smoothing
        and recipe.cutout
        and recipe.autoaugment == "imagenet"
        and not recipe.standardise
    )
    fine_tuning = RECIPES["imagenet_448"]
    assert (fine_tuning.epochs, fine_tuning.size) == (10, 448)  # §3.3
    assert fine_tuning.eval_transform().transforms[1].size == (448, 448)  # squashed, not cropped


def test_every_field_is_explained():
    explained = {
        name
        for heads in re.findall(r"^ {8}(\w[\w, ]*):", Recipe.__doc__, re.M)
        for name in heads.split(", ")
    }
    assert {field.name for field in fields(Recipe)} == explained - {"ValueError"}


@pytest.mark.parametrize("ingredient", INGREDIENTS)
def test_an_ingredient_can_be_taken_out(ingredient):
    assert replace(RECIPES["digits"], **INGREDIENTS[ingredient]) != RECIPES["digits"]


def test_texts_become_the_type_of_the_field():
    recipe = make_recipe(
        "digits", epochs="5", lr="1e-2", flip="true", squash="none", amp="off", ema=0
    )
    assert recipe == replace(
        RECIPES["digits"], epochs=5, lr=0.01, flip=True, squash=None, amp="off", ema=0.0
    )
    config = with_overrides(
        TResNetConfig(), {"depths": "1,1,2,1", "se": "yes,no,no,no", "width": "8", "norm": "bn"}
    )
    assert config == TResNetConfig(
        depths=(1, 1, 2, 1), se=(True, False, False, False), width=8, norm="bn"
    )


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"epoch": 5}, "no field 'epoch'; did you mean epochs"),
        ({"epochs": "2.5"}, "epochs is a whole number, not '2.5'"),
        ({"epochs": 2.5}, "epochs is a whole number, not 2.5"),
        ({"epochs": True}, "epochs is a whole number"),
        ({"lr": "fast"}, "lr is a number, not 'fast'"),
        ({"flip": "maybe"}, "flip is true or false"),
        ({"schedule": "cosine"}, "schedule is one of 1cycle, step, not 'cosine'"),
        ({"epochs": 0}, "epochs is 0: it must be at least 1"),
        ({"cutout": 1.5}, "cutout is 1.5: it must be at most 1"),
        ({"lr": "-1"}, "lr is -1.0: it must be above 0"),
        ({"momentum": 0.5}, "momentum_low is 0.85: it must be at most momentum, 0.5"),
    ],
)
def test_a_wrong_override_says_what_would_be_right(overrides, message):
    with pytest.raises(ValueError, match=message):
        make_recipe("digits", **overrides)


def test_unknown_recipes_and_texts_for_numbers():
    with pytest.raises(ValueError, match="no recipe 'imagnet'; did you mean imagenet"):
        make_recipe("imagnet")
    with pytest.raises(ValueError, match="epochs is a whole number, not the text '5'"):
        Recipe(epochs="5")
    with pytest.raises(ValueError, match="depths is several values"):
        with_overrides(TResNetConfig(), {"depths": 3})

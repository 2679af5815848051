"""What the training chapter shows, against closed forms and independent references; what is
recorded and reused.
"""

import math

import nbformat
import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from torch import nn

from tresnet_lite import create_model
from tresnet_lite.checkout import ROOT
from tresnet_lite.experiments import recipe as training
from tresnet_lite.experiments import studies
from tresnet_lite.experiments.photographs import sample_photograph
from tresnet_lite.findings import statistics
from tresnet_lite.profiles import Training, resolve
from tresnet_lite.records import Failure, Record, load
from tresnet_lite.show import recipe as drawings
from tresnet_lite.train import INGREDIENTS, NonFiniteLoss, make_loss, make_recipe

SMOKE = resolve("smoke")
TINY = training.RecipeStudy(Training(seeds=2, epochs=1, images=64))


# Ingredient by ingredient.


def test_decays_follow_their_recurrences():
    found = training.decays([1, 7, 40], lr=0.2, weight_decay=0.05, momentum=0.8)
    velocity, weight, path = 0.0, 1.0, [1.0]
    for _ in range(40):
        velocity = 0.8 * velocity + 0.05 * weight
        weight -= 0.2 * velocity
        path.append(weight)
    for row in found.itertuples():
        assert row.decoupled == pytest.approx((1 - 0.2 * 0.05) ** row.steps, rel=1e-12)
        assert row.l2 == pytest.approx(row.decoupled, rel=1e-12)
        assert row.l2_momentum == pytest.approx(path[row.steps], rel=1e-12)


def test_what_decays_is_what_has_more_than_one_dimension():
    with torch.device("meta"):
        parameters = list(create_model("tresnet_m").parameters())
    found = training.decay_groups().set_index("what")
    for what, chosen in (
        ("weights of convolutions and classifier", [p for p in parameters if p.ndim > 1]),
        ("norms and biases", [p for p in parameters if p.ndim == 1]),
    ):
        assert found.loc[what, ["tensors", "numbers"]].tolist() == [
            len(chosen),
            sum(p.numel() for p in chosen),
        ]
    assert found["decay"].tolist() == [make_recipe("imagenet").weight_decay, 0]


@pytest.mark.parametrize("classes", [2, 10, 1000])
def test_the_smoothed_loss_is_least_where_it_is_said(classes):
    row = training.smoothed([classes], 0.1).iloc[0]
    assert row.true + (classes - 1) * row.other == pytest.approx(1)
    logits = torch.zeros(1, classes, dtype=torch.float64)
    logits[0, 1] = row.gap
    logits.requires_grad_()
    loss = make_loss(make_recipe("imagenet"))(logits, torch.tensor([1]))
    (slope,) = torch.autograd.grad(loss, logits)
    assert slope.abs().max() < 1e-12
    assert loss.item() == pytest.approx(row.least_loss, rel=1e-12)
    target = np.full(classes, row.other)
    target[1] = row.true
    assert row.least_loss == pytest.approx(stats.entropy(target), rel=1e-12)


def test_augmented_photographs_differ_as_their_names_say():
    flower = sample_photograph("flower")
    shown = training.augmented(flower, 64)
    names, images = zip(*shown, strict=True)
    assert names[0] == "as it is" and all(image.shape == (64, 64, 3) for image in images)
    assert len({image.numpy().tobytes() for image in images}) == len(images)
    cut = (images[names.index("Cutout")] != images[0]).any(2)  # (H, W)
    # a quarter of the area, black
    assert cut.sum() == 32 * 32 and not images[names.index("Cutout")][cut].any()
    again = training.augmented(flower, 64)
    assert all(torch.equal(a, b) for (_, a), (_, b) in zip(shown, again, strict=True))


def test_every_stated_field_is_one_of_the_recipe():
    table = training.fields_of(make_recipe("imagenet"))
    assert set(training.STATED) <= set(table["field"])
    assert (table["stated"] != "not stated").sum() == len(training.STATED)


# Networks with and without each ingredient.


def test_one_ingredient_is_missing_at_a_time():
    found = training.recipes(3)
    whole = found.pop(training.FULL)
    assert len(found) == len(INGREDIENTS) and all(recipe.epochs == 3 for recipe in found.values())
    for name, recipe in found.items():
        out = INGREDIENTS[name.removeprefix("without ")]
        changed = {
            field for field in vars(whole) if getattr(whole, field) != getattr(recipe, field)
        }
        assert changed == set(out)


def test_what_was_trained_is_not_trained_again(record_file, monkeypatch, capsys):
    names = list(training.recipes(1))[:2]
    monkeypatch.setattr(
        training,
        "recipes",
        lambda epochs, real=training.recipes: {n: real(epochs)[n] for n in names},
    )
    found = studies.train_studies([TINY], SMOKE).records
    assert [(r.model, r.case, r.seed) for r in found] == [
        (name, "64 digits, 1 epoch", seed) for seed in (0, 1) for name in names
    ]
    assert all(r.value.repeats == 1 and 0 <= r.value.median <= 100 for r in found)
    monkeypatch.setattr(training, "train", lambda *_, **__: pytest.fail("trained again"))
    assert studies.train_studies([TINY], SMOKE).records == found == load(record_file)
    assert "4 networks, 4 of them trained before" in capsys.readouterr().out


def test_a_training_that_diverges_is_told(record_file, monkeypatch):
    def diverge(*_, **__):
        raise NonFiniteLoss("the loss is nan at step 3")

    monkeypatch.setattr(training, "train", diverge)
    told = TINY.outcome(training.FULL, 0, "cpu")
    assert isinstance(told, Failure) and told.message == "the loss is nan at step 3"


def test_other_settings_are_other_points():
    points = {
        training.RecipeStudy(Training(2, epochs, images)).point(name, seed)
        for name in training.recipes(1)
        for seed in (0, 1)
        for epochs in (1, 2)
        for images in (None, 64)
    }
    assert len(points) == 8 * 8


def test_the_same_seed_gives_the_same_network():
    a, b, c = (training.digits_network(seed) for seed in (1, 1, 2))
    assert torch.equal(
        nn.utils.parameters_to_vector(a.parameters()), nn.utils.parameters_to_vector(b.parameters())
    )
    first = next(iter(a.parameters()))
    assert not torch.equal(first, next(iter(c.parameters())))


def run_of(values):
    """A run as `statistics.results` gives it: recipe → accuracies by seed."""
    rows = [(name, seed, top1) for name, found in values.items() for seed, top1 in enumerate(found)]
    return pd.DataFrame(rows, columns=["rung", "seed", "top1"]).assign(run="a run", data="digits")


def test_differences_are_paired_by_seed_and_corrected():
    full, cutout, smooth = (
        [90.0, 92.0, 91.0, 95.0],
        [88.0, 90.5, 89.0, 92.5],
        [91.0, 91.0, 92.0, 94.0],
    )
    run = run_of({training.FULL: full, "without Cutout": cutout, "without label smoothing": smooth})
    found = training.ingredient_differences(run).set_index("name")
    theirs = stats.ttest_rel(cutout, full)
    row = found.loc["without Cutout"]
    # two comparisons, so each at a level of 97.5 %
    assert (row.low, row.high) == pytest.approx(tuple(theirs.confidence_interval(0.975)))
    assert row.change == pytest.approx(np.mean(cutout) - np.mean(full))
    assert row.corrected == pytest.approx(2 * theirs.pvalue)
    assert (row.word, found.loc["without label smoothing"].word) == ("lower", "not told apart")
    assert found.loc[training.FULL, "word"] == "" and math.isnan(found.loc[training.FULL].change)


def test_one_seed_gives_differences_without_a_verdict():
    found = training.ingredient_differences(
        run_of({training.FULL: [90.0], "without Cutout": [88.0]})
    ).set_index("name")
    assert (found.loc["without Cutout", "change"], found.loc["without Cutout", "word"]) == (
        -2,
        statistics.UNTESTED,
    )
    assert "without Cutout -2.00" in drawings.ingredients(found.reset_index()).text


def test_a_run_that_was_stopped_before_the_full_recipe_is_shown_too():
    found = training.ingredient_differences(run_of({"without Cutout": [88.0]}))
    assert found["change"].isna().all()
    assert "Nothing was measured" in drawings.ingredients(found).text


def test_the_schedule_is_drawn_with_its_peak():
    text = drawings.schedules({"1-cycle": make_recipe("imagenet")}).text
    assert "0.4 first at epoch 90" in text and "momentum between 0.85 and 0.95" in text


@pytest.mark.parametrize("wrong", [{"seeds": 0}, {"epochs": 0}])
def test_a_study_needs_seeds_and_epochs(wrong):
    with pytest.raises(ValueError, match="must be a whole number, 1 or more"):
        training.study(SMOKE, **wrong)


def test_a_smoke_run_is_small_and_given_settings_count():
    chosen = training.study(SMOKE, seeds=3, epochs=None, minutes=2.0)
    how = chosen.training
    assert (how.seeds, how.epochs, how.minutes) == (3, 1, 2.0)
    assert str(chosen) == "3 seeds, 1 epoch of 192 digits, for 2 minutes at most"


def test_the_records_are_records(record_file):
    record = TINY.outcome(training.FULL, 0, "cpu")
    assert Record.from_json(record.to_json()) == record
    assert statistics.results([record])["rung"].tolist() == [training.FULL]


def test_the_chapter_says_what_it_cannot():
    notebook = nbformat.read(ROOT / "notebooks" / "16_training.ipynb", as_version=4)
    prose = " ".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    assert "neither confirm nor refute" in " ".join(prose.split())

"""Profiles, what a notebook sets on top of them, and what a fourth one takes."""

import ast
import json
from dataclasses import replace

import pytest
import torch

from tresnet_lite.bench import __main__ as bench
from tresnet_lite.bench import campaign, suites
from tresnet_lite.book import __main__ as reproduce
from tresnet_lite.book import execute, serve
from tresnet_lite.checkout import ROOT
from tresnet_lite.counting import variants
from tresnet_lite.experiments import ablation, campaigns, recipe, shifts, studies
from tresnet_lite.profiles import PROFILES, Training, resolve
from tresnet_lite.records.records import MIN_REPEATS


@pytest.fixture
def laptop(monkeypatch):
    """A fourth profile: the one edit that it takes."""
    profile = replace(
        PROFILES["cpu"],
        name="laptop",
        image_size=96,
        batch=2,
        minutes=0.5,
        shift_seeds=3,
        shift_width=24,
        recipe=Training(seeds=1, epochs=2, images=96, minutes=0.1),
        ladder=Training(seeds=2, epochs=3),
        cifar=Training(seeds=1, epochs=1),
    )
    monkeypatch.setitem(PROFILES, "laptop", profile)
    return profile


@pytest.mark.parametrize("command", [bench.main, reproduce.main, serve.main])
def test_every_command_offers_every_profile(laptop, capsys, command):
    first = ["run"] if command is bench.main else []
    with pytest.raises(SystemExit) as stop:
        command([*first, "--profile", "laptop", "--help"])
    assert stop.value.code == 0 and f"{{{','.join(PROFILES)}}}" in capsys.readouterr().out


def test_campaigns_follow_a_fourth_profile(laptop, record_file, monkeypatch, capsys):
    assert resolve("laptop", repeats=7) == replace(laptop, repeats=7)
    points, usual = suites.points(laptop), suites.points(PROFILES["cpu"])
    assert len(points) == len(usual) > len(suites.points(replace(laptop, trial=True)))
    assert max(p.resolution for p in points) < max(p.resolution for p in usual)
    assert bench.main(["list", "--profile", "laptop"]) == 0
    assert f"profile {laptop}" in capsys.readouterr().out
    limits = []
    monkeypatch.setattr(campaign, "run", lambda *_, minutes, **__: limits.append(minutes) or [])
    campaigns.measure_suites(laptop, "table4")
    assert limits == [30 / 60]


def test_studies_follow_a_fourth_profile(laptop, record_file, monkeypatch):
    assert str(recipe.study(laptop)) == "1 seed, 2 epochs of 96 digits, for 0.1 minutes at most"
    ladder = {name: study.training for name, study in ablation.studies(laptop).items()}
    assert ladder == dict.fromkeys(["digits", "photographs"], laptop.ladder) | {
        "CIFAR-10": laptop.cifar
    }
    monkeypatch.setattr(recipe.RecipeStudy, "train", lambda *_: pytest.fail("no time is left"))
    assert studies.train_studies([recipe.study(laptop)], laptop, minutes=0).records == []


def test_shifts_follow_a_fourth_profile(laptop, monkeypatch):
    monkeypatch.setattr(shifts, "feature_changes", lambda *_: torch.rand(8, 8, 6) + 0.1)
    widths = []
    monkeypatch.setattr(shifts, "random_network", lambda *_, width, **__: widths.append(width))
    changes, records = shifts.measure_shifts(laptop)
    assert {len(seeds) for seeds in changes.values()} == {3}
    assert widths == [24] * 3 * len(variants.SCHEMES)
    assert {record.case for record in records} == {"random weights, width 24"}


def test_what_a_notebook_depends_on_names_a_fourth_profiles_device(laptop, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(execute, "try_gpu", lambda: ("Imaginary GPU", ""))
    assert execute.notebook_conditions("laptop")[:2] == ("laptop", "cpu")
    monkeypatch.setitem(PROFILES, "laptop", replace(laptop, device="cuda"))
    assert execute.notebook_conditions("laptop")[:2] == ("laptop", "Imaginary GPU")


def knows_a_profile(source: str) -> bool:
    """Does a piece of code compare a name with a profile's, or look something up by it?"""
    for node in ast.walk(ast.parse(source)):
        constants, enough = [], 1
        if isinstance(node, ast.Dict):
            constants, enough = node.keys, 2  # "cpu" is a device too
        elif isinstance(node, ast.Compare) and ast.unparse(node.left).endswith(("name", "profile")):
            constants = node.comparators
        words = {constant.value for constant in constants if isinstance(constant, ast.Constant)}
        if len(words & set(PROFILES)) >= enough:
            return True
    return False


def test_nothing_but_the_profiles_knows_them_by_name():
    assert knows_a_profile('SEEDS = {"smoke": 1, "cpu": 2}')
    assert knows_a_profile('profile.name == "smoke"') and knows_a_profile('profile == "gpu"')
    assert not knows_a_profile('COPIED = {"cpu": 1, "cuda": 2}\ndevice.type == "cpu"')
    code = {path: path.read_text(encoding="utf-8") for path in ROOT.glob("tresnet_lite/**/*.py")}
    for path in ROOT.glob("notebooks/*.ipynb"):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        for cell in cells:
            if cell["cell_type"] == "code" and cell["id"] != "setup":
                code[path, cell["id"]] = "".join(cell["source"])
    assert [place for place, source in code.items() if knows_a_profile(source)] == []


def test_what_is_given_wins_and_the_rest_is_the_profiles():
    profile = resolve("cpu", image_size=96, batch=None)
    assert profile.image_size == 96
    assert (profile.batch, profile.repeats, profile.device) == (
        PROFILES["cpu"].batch,
        PROFILES["cpu"].repeats,
        "cpu",
    )
    assert str(profile) == "cpu: 96 px, batches of 4, float32 on cpu, 5 timed blocks or more"


def test_only_a_smoke_run_carries_a_caveat():
    assert [name for name, profile in PROFILES.items() if profile.caveat] == ["smoke"]


def test_claims_can_be_judged_by_every_profile_but_smoke():
    assert {name for name, profile in PROFILES.items() if profile.image_size == 224} == {
        "cpu",
        "gpu",
    }


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"name": "fast"}, f"unknown profile 'fast': there are {', '.join(PROFILES)}"),
        ({"name": "cpu", "image_size": 100}, "multiple of 32, all strides together, got 100"),
        ({"name": "cpu", "image_size": 0}, "image_size must be a whole number, 1 or more, got 0"),
        ({"name": "cpu", "image_size": 64.0}, "image_size must be a whole number.* got 64.0"),
        ({"name": "cpu", "image_size": "64"}, "image_size must be a whole number.* got '64'"),
        ({"name": "cpu", "batch": True}, "batch must be a whole number.* got True"),
        ({"name": "cpu", "repeats": 0}, "repeats must be a whole number, 1 or more, got 0"),
        ({"name": "cpu", "repeats": MIN_REPEATS - 1}, f"repeats must be at least {MIN_REPEATS}"),
        ({"name": "cpu", "device": "gpu"}, "no device 'gpu': give 'cuda', 'cuda:1' or 'cpu'"),
        ({"name": "cpu", "device": "mps"}, "no device 'mps'"),
        ({"name": "cpu", "batch": 1}, "at least 2, as batch norm needs in training, got 1"),
    ],
)
def test_what_cannot_be_is_refused(given, says):
    with pytest.raises(ValueError, match=says):
        resolve(**given)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_gpu_that_is_not_there_is_missed_at_once():
    with pytest.raises(ValueError, match="no CUDA device"):
        resolve("gpu")

"""Profiles and what a notebook sets on top of them."""

import pytest
import torch

from tresnet_lite.profiles import PROFILES, resolve


def test_make_reproduce_offers_the_same_profiles():
    assert set(PROFILES) == set(PROFILES)


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
        ({"name": "fast"}, "unknown profile 'fast': there are smoke, cpu, gpu"),
        ({"name": "cpu", "image_size": 100}, "multiple of 32, all strides together, got 100"),
        ({"name": "cpu", "image_size": 0}, "multiple of 32"),
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

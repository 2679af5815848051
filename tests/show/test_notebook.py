"""What chapters share: tables, claims, the photograph, records, the comparison of models."""

from dataclasses import replace

import pytest
import torch
from helpers import images
from torch import nn

from tresnet_lite import TResNet, TResNetConfig
from tresnet_lite.bench import Timing
from tresnet_lite.bench.compare import compare, norm_backend, training_peaks
from tresnet_lite.claims.ledger import load_claims
from tresnet_lite.claims.verdict import WORDS
from tresnet_lite.layers import InPlaceABN
from tresnet_lite.profiles import PROFILES
from tresnet_lite.records import load, store
from tresnet_lite.show import notebook

QUICK = replace(PROFILES["smoke"], image_size=32, min_block=0.02, max_seconds=0.2)


@pytest.fixture(scope="module", autouse=True)
def virtual_clock():
    """Each function is called once and said to take half a second more than the one before it."""

    def measure_many(functions, **options):
        assert options["min_repeats"] == QUICK.repeats and options["device"] == QUICK.device
        for function in functions.values():
            function()
        return {name: Timing((i / 2,) * 3, calls=1) for i, name in enumerate(functions, 1)}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tresnet_lite.bench.compare.measure_many", measure_many)
        yield


def classifier() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )


@pytest.fixture(scope="module")
def records():
    models = {"a": classifier(), "b": classifier()}
    return [
        record
        for phase in ("inference", "training")
        for record in compare(models, QUICK, suite="test", case="small", phase=phase)
    ]


def test_compare_makes_a_record_of_each_model_and_phase(records):
    assert [(r.model, r.phase) for r in records] == [
        (m, p) for p in ("inference", "training") for m in "ab"
    ]
    conditions = records[0].conditions
    assert (conditions.batch, conditions.resolution, conditions.dtype, conditions.norm) == (
        2,
        32,
        "float32",
        "bn",
    )
    assert [r.value.median for r in records] == [4, 2, 4, 2]  # 2 images in 0.5 s and in 1 s


def test_a_record_tells_that_a_network_is_thin():
    """TResNet-M's own width is 64, and TResNet-L's is more."""
    networks = {str(w): TResNet(TResNetConfig(width=w, depths=(1, 1, 1, 1))) for w in (8, 64, 76)}
    found = compare(networks, QUICK, suite="test", case="thin", phase="inference")
    assert [r.conditions.width for r in found] == [8, None, None]
    assert [
        r.conditions.width
        for r in training_peaks({"8": networks["8"]}, QUICK, suite="test", case="thin")
    ] == [8]
    assert "float32, networks of width 8" in notebook.source(found[:1], QUICK)


def test_compare_takes_a_loss_where_there_are_no_classes():
    """Without it, a map of features is no batch of logits, and cross-entropy says so."""
    features = {"map": nn.Conv2d(3, 4, 3)}
    (timed,) = compare(features, QUICK, suite="test", case="map", phase="training", loss=torch.mean)
    assert timed.phase == "training"
    with pytest.raises((RuntimeError, ValueError)):
        compare(features, QUICK, suite="test", case="map", phase="training")


def test_compare_refuses_an_unknown_phase():
    with pytest.raises(ValueError, match="phase 'sleep': give 'inference' or 'training'"):
        compare({"a": classifier()}, QUICK, suite="test", case="small", phase="sleep")


def test_a_record_names_what_normalises():
    assert norm_backend(nn.Sequential(InPlaceABN(3, backend="native"))) == "native"
    assert norm_backend(classifier()) == "bn"


def test_records_are_kept_where_make_reproduce_says(records, tmp_path, monkeypatch):
    path = tmp_path / "own.jsonl"
    monkeypatch.setenv("TRESNET_LITE_RECORDS", str(path))
    store.keep(records, QUICK)
    assert load(path) == records


def test_the_note_tells_where_numbers_come_from(records):
    note = notebook.source(records, QUICK)
    assert records[0].provenance.source in note
    assert "32 px, batches of 2, float32" in note and QUICK.caveat in note


def test_claims_are_those_of_the_paper_with_a_verdict_each(records):
    sentences = [claim.sentence for claim in load_claims() if claim.id.startswith("stem-")]
    shown = notebook.claims("stem-").text
    assert sentences and all(sentence in shown for sentence in sentences)
    verdicts = [
        line
        for line in notebook.verdicts(records, "stem-").text.splitlines()
        if line.startswith("| stem-")
    ]
    words = [line.split(" | ")[1] for line in verdicts]
    assert len(words) == len(sentences) and set(words) <= set(WORDS)


def test_claims_that_nobody_made_are_refused():
    with pytest.raises(ValueError, match="no claim's id begins with stern-"):
        notebook.claims("stern-")


def test_the_photograph_is_a_photograph():
    photo = notebook.photograph(64)
    assert photo.shape == (1, 3, 64, 64) and photo.dtype == torch.float32
    assert 0 <= photo.min() < 0.1 and 0.9 < photo.max() <= 1
    neighbours = (photo[..., 1:] - photo[..., :-1]).abs().mean()
    noise = images(1, 3, 64, 64)
    # smooth, as the world is
    assert neighbours < 0.3 * (noise[..., 1:] - noise[..., :-1]).abs().mean()


def test_the_footer_names_device_versions_and_commit():
    text = notebook.footer("cpu").text
    assert "tresnet_lite" in text and torch.__version__ in text

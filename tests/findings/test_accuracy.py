"""Accuracies of published weights: the interval, the table beside the paper's, and the claims."""

import math
from dataclasses import replace

import pytest
from helpers import PROVENANCE

from tresnet_lite.claims.ledger import load_claims
from tresnet_lite.evaluate import Accuracy
from tresnet_lite.evaluate.accuracy import IMAGENET, of_record, printed_top1
from tresnet_lite.findings.accuracy import beside_paper
from tresnet_lite.records import Conditions, Record, Spread

IMAGES = 50_000


def record(model, resolution, protocol, right, **options):
    of_one = Accuracy(right, IMAGES)
    value = Spread(of_one.percent, *of_one.interval(0.5), IMAGES)
    value = replace(value, q1=of_one.interval(0.5)[0], q3=of_one.interval(0.5)[1])
    case = f"{IMAGENET}, {protocol}"
    fields = {"metric": "top1", "conditions": Conditions(64, resolution), "provenance": PROVENANCE}
    return Record("accuracy", case, model, "inference", value=value, **(fields | options))


def verdict(records, claim):
    (found,) = next(c for c in load_claims() if c.id == claim).verdicts(records)
    return found


@pytest.mark.parametrize(("right", "images"), [(0, 10), (3, 10), (10, 10), (40_410, IMAGES)])
def test_wilsons_interval(right, images):
    z, p, n = 1.959963984540054, right / images, images
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * (p * (1 - p) / n + z**2 / (4 * n**2)) ** 0.5
    assert Accuracy(right, images).interval() == pytest.approx(
        (100 * (centre - half), 100 * (centre + half)), abs=1e-9
    )


def test_a_record_gives_back_what_was_counted():
    assert of_record(record("tresnet_m.miil_in1k", 224, "crop", 40_408)) == Accuracy(40_408, IMAGES)


def test_no_records_no_verdict():
    found = verdict([], "table3-m-weights")
    assert (found.word, found.paper) == ("not attempted", "80.8 %")
    assert "evaluate --table 3" in found.why


@pytest.mark.parametrize(
    ("right", "word"), [(40_408, "reproduced"), (40_340, "reproduced"), (40_310, "differs")]
)
def test_the_weights_are_judged_to_the_tolerance(right, word):
    found = verdict([record("tresnet_m.miil_in1k", 224, "crop", right)], "table3-m-weights")
    assert (found.word, found.ours) == (word, f"{right / 500:.2f} %")


@pytest.mark.parametrize(
    ("name", "resolution", "protocol"),
    [
        ("tresnet_m.miil_in21k_ft_in1k", 224, "crop"),  # other weights
        ("tresnet_m.miil_in1k", 448, "crop"),  # another size
        ("tresnet_m.miil_in1k", 224, "squash"),
    ],
)
def test_other_records_judge_nothing(name, resolution, protocol):
    assert (
        verdict([record(name, resolution, protocol, 40_408)], "table3-m-weights").word
        == "not attempted"
    )


def test_a_crop_at_448_is_not_what_the_paper_prints():
    trap = [record("tresnet_m.miil_in1k_448", 448, "crop", 40_855)]
    assert verdict(trap, "table5-m-weights").word == "not attempted"
    squashed = [*trap, record("tresnet_m.miil_in1k_448", 448, "squash", 41_600)]
    assert verdict(squashed, "table5-m-weights").word == "reproduced"


@pytest.mark.parametrize(
    ("large", "word"), [(41_600, "reproduced"), (40_600, "differs"), (40_000, "differs")]
)
def test_a_gain_must_be_beyond_both_intervals(large, word):
    small = record("tresnet_m.miil_in1k", 224, "crop", 40_408)
    assert verdict([small], "table5-m-accuracy").word == "not attempted"
    found = verdict(
        [small, record("tresnet_m.miil_in1k_448", 448, "squash", large)], "table5-m-accuracy"
    )
    assert (found.word, found.paper) == (word, "+2.4 points")


def test_the_table_has_every_printed_line_and_the_trap():
    rows = beside_paper([record("tresnet_m.miil_in1k_448", 448, "crop", 40_855)], 5)
    assert list(zip(rows["resolution"], rows["protocol"], strict=True))[:3] == [
        (224, "crop"),
        (448, "squash"),
        (448, "crop"),
    ]
    assert len(rows) == 9
    trap = rows.iloc[2]
    assert trap["measured_top1"] == pytest.approx(81.71)
    assert trap["low"] < trap["measured_top1"] < trap["high"]
    assert trap["source"].startswith("measured (Imaginary GPU") and math.isnan(trap["paper_top1"])
    assert rows["source"][0].startswith("not attempted: no records")
    assert "ResNet50 is not published" in beside_paper([], 3)["source"][0]


def test_what_the_paper_prints_for_a_case():
    case = f"{IMAGENET}, squash"
    assert printed_top1("tresnet_m.miil_in1k_448", 448, case) == 83.2
    assert printed_top1("tresnet_m.miil_in1k_448", 448, f"{IMAGENET}, crop") is None
    assert printed_top1("tresnet_m.miil_in1k", 224, f"{IMAGENET}, crop, ReaL labels") is None

"""What is known of claims without a GPU of ours, against hand-made tables and what is fitted."""

import math

import pandas as pd
import pytest

from tresnet_lite.claims import predicted as counting
from tresnet_lite.claims import published as others
from tresnet_lite.claims.asked import Asked, Network, asked
from tresnet_lite.claims.evidence import DEPENDS, FAILS, HOLDS, UNDECIDED
from tresnet_lite.claims.ledger import EVIDENCE, ledger, load_claims, sums, without_evidence
from tresnet_lite.claims.predicted import predicted
from tresnet_lite.claims.published import published
from tresnet_lite.predict import devices
from tresnet_lite.predict.fit import Prediction

CLAIMS = {claim.id: claim for claim in load_claims()}
TIMED = ("faster", "not_slower", "speed_ratio", "outpaces", "directions", "overtakes")
TIMED += ("above_curve",)
NOT_WHOLE = "activation alone", "batch"  # cases that are no whole network, or one at two batches


def test_what_a_claim_asks():
    m = Asked(Network("tresnet_m"), Network("resnet50"), "training", 0.9, math.inf)
    assert asked(CLAIMS["table3-m-training"].check) == [m]
    first, *rest = asked(CLAIMS["ladder-directions"].check)
    assert first.base.known_as == "resnet50" and rest[-1].model.known_as == "tresnet_m"
    assert [a.high for a in (first, *rest)] == [math.inf] * 3 + [1.0] * 2
    (b5,) = asked(CLAIMS["figures-b5-inference"].check)
    assert (b5.model, b5.base) == (Network("tresnet_xl", 448), Network("efficientnet_b5", 456))
    sides = {a.base.side for a in asked(CLAIMS["table1-inference-faster"].check)}
    assert sides == {224, 240}
    assert asked(CLAIMS["macs-m"].check) == []


def test_a_printed_effect_has_its_range():
    """A third of the logarithm of 2890 / 2830 on either side."""
    (gain,) = asked(CLAIMS["stem-inference-gain"].check)
    printed = 2950 / 2830
    assert (gain.low, gain.high) == pytest.approx((printed ** (2 / 3), printed ** (4 / 3)))


@pytest.fixture
def lines(monkeypatch):
    """Three lines of others' GPUs, and a CPU's, which counts for nothing."""
    rows = []
    for device, ours in (("RTX A", 95), ("RTX B", 89), ("RTX C", 120), ("Core i1", 10)):
        way = {"device": device, "torch": "2", "phase": "inference", "dtype": "float16"}
        way |= {"memory_format": "channels_first", "compile": "eager", "resolution": 224}
        rows += [{**way, "model": "tresnet_m", "images_per_second": ours}]
        rows += [{**way, "model": "resnet50", "images_per_second": 100}]
    monkeypatch.setattr(others, "benchmarks", lambda: pd.DataFrame(rows))
    monkeypatch.setattr(others, "component_benchmarks", lambda: pd.DataFrame(rows)[:0])
    others._lines.cache_clear()
    yield
    others._lines.cache_clear()


def test_lines_of_others_are_counted(lines):
    found = published(CLAIMS["table3-m-inference"].check)  # at most 10 % slower
    assert (found.word, found.figures) == (DEPENDS, "2 of 3 lines, 0.89–1.20×")
    assert "not on RTX B, torch 2, float16, channels first, eager" in found.source
    assert published(CLAIMS["table3-m-training"].check) is None
    stand_in = {"model": "tresnet_m", "base": "resnet50"}
    assert published(CLAIMS["se-slows-inference"].check, stand_in).figures.startswith("1 of 3")
    assert published(CLAIMS["se-slows-inference"].check) is None  # its networks are the chapter's


def test_all_and_none():
    check = CLAIMS["table1-training-by-a-large-margin"].check
    assert published(check | {"margin": 0.01}).word == HOLDS
    assert published(check | {"margin": 100}).word == FAILS


@pytest.mark.parametrize(
    ("ends", "word"),
    [((1.1, 1.2), HOLDS), ((0.8, 0.9), FAILS), ((0.9, 1.2), UNDECIDED)],
)
def test_an_interval_decides_or_not(ends, word, monkeypatch):
    prediction = Prediction(math.prod(ends) ** 0.5, *ends)
    monkeypatch.setattr(counting, "_ratio", lambda ratio: (prediction, ["ResNet50"]))
    found = predicted(CLAIMS["ladder-compensates"].check | {"tolerance": 0.0})
    assert found.word == word and "without ResNet50" in found.source


def test_the_compared_networks_are_left_out():
    """Nearly what the constants of all speeds predict, and not quite: two networks are missing."""
    (ratio,) = asked(CLAIMS["table3-l-inference"].check)
    prediction, left_out = counting._ratio(ratio)
    assert set(left_out) == {"TResNet-L", "ResNet50"}
    fit = devices.read()["v100"].fit
    steps = [
        (counting._load(n, "inference"), counting._batch(n)) for n in (ratio.model, ratio.base)
    ]
    whole = fit.ratio(*steps)
    assert prediction.value == pytest.approx(whole.value, rel=0.1)
    assert prediction.value != whole.value
    assert prediction.low < prediction.value < prediction.high


def test_a_part_of_a_network_is_not_predicted():
    assert predicted(CLAIMS["iabn-swish-cost-training"].check) is None
    assert predicted(CLAIMS["iabn-larger-batch-trains-faster"].check) is None
    assert predicted(CLAIMS["jit-blur"].check) is None


def test_every_claim_about_whole_networks_speeds_is_predicted():
    rows = ledger([]).drop_duplicates("id").set_index("id")
    for claim in CLAIMS.values():
        if claim.kind == "speed" and claim.check["name"] in TIMED:
            known = claim.check.get("case") not in NOT_WHOLE
            assert bool(rows.loc[claim.id, "predicted"]) == known, claim.id
        if claim.kind == "size":
            assert not rows.loc[claim.id, list(EVIDENCE)].any()


def test_counted_batches_and_published_accuracies():
    """Bytes give no doubling by Inplace-ABN alone; timm's own evaluation of the weights."""
    assert predicted(CLAIMS["iabn-doubles-largest-batch"].check).word == FAILS
    m = predicted(CLAIMS["iabn-batch-m"].check)
    assert m.word == HOLDS and float(m.figures.partition("×")[0]) == pytest.approx(
        512 / 288, rel=0.1
    )
    assert published(CLAIMS["table3-m-weights"].check).figures == "80.82 % of 80.8 %"
    assert published(CLAIMS["table5-m-weights"].check) is None  # timm crops, the paper squashes
    assert published(CLAIMS["table5-m-accuracy"].check).figures == "+0.89 points, cropped"


def test_sums_are_by_class():
    rows = ledger([])
    lines = sums(rows)
    assert [line.partition(":")[0] for line in lines[1:3]] == list(EVIDENCE.values())
    nothing = without_evidence(rows)
    assert lines[-1] == f"{len(CLAIMS)} claims, of which {len(nothing)} have no evidence"
    assert "macs-m" not in nothing and "transfer-cars" in nothing


def test_a_claim_says_which_networks_stand_in(tmp_path):
    with pytest.raises(ValueError, match=r"write published as \{model: …, base: …\}"):
        type(CLAIMS["macs-m"])(
            **{name: getattr(CLAIMS["macs-m"], name) for name in ("id", "section", "kind")},
            sentence="a",
            check=CLAIMS["macs-m"].check,
            published={"model": "resnet50"},
        )

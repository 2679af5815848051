"""The paper's 24 speeds: which they are, and how well they are predicted when left out."""

import numpy as np
import pytest

from tresnet_lite.paper import paper_value
from tresnet_lite.predict.constants import fit_paper
from tresnet_lite.predict.fit import Errors, left_out, predicted_over_measured, proxy_left_out
from tresnet_lite.predict.paper_report import CHOICES, PROXIES, competitor_bias, is_ours, report
from tresnet_lite.predict.paper_speeds import digitised_speeds, paper_batch, paper_speeds


@pytest.fixture(scope="module")
def speeds():
    return paper_speeds()


@pytest.fixture(scope="module")
def figures():
    return digitised_speeds()


def test_there_are_15_speeds_of_inference_and_9_of_training(speeds):
    phases = [speed.load.phase for speed in speeds]
    assert phases == ["inference"] * 15 + ["training"] * 9
    of_m = {s.load.phase: s.images_per_second for s in speeds if s.name == "TResNet-M"}
    printed = {f"{p}_img_s": value for p, value in of_m.items()}
    assert printed == {column: paper_value(3, column, model="TResNet-M") for column in printed}
    sides = {(s.name, s.load.side) for s in speeds if s.load.side != 224}
    assert sides == {("EfficientNetB1", 240), ("TResNet-L", 368), ("EfficientNet-B7", 600)}


def test_batches_are_90_percent_of_the_largest(speeds):
    assert paper_batch("TResNet-M", 224) == round(0.9 * 512)
    assert paper_batch("TResNet-M", 448) == round(0.9 * 512 / 4)
    assert {s.name: s.batch for s in speeds}["ResNet50"] == round(0.9 * 288)


def test_left_out_speeds_are_predicted_far_better_than_by_any_one_number(speeds):
    errors = Errors.of(left_out(speeds, fit_paper))
    assert errors.median <= 0.05 and errors.rms <= 0.12
    for proxy in PROXIES.values():
        alone = Errors.of(proxy_left_out(speeds, proxy))
        assert alone.median > 4 * errors.median and alone.rms > 2 * errors.rms


def test_figures_that_were_never_fitted_are_predicted(speeds, figures):
    fitted = fit_paper(speeds)
    errors = Errors.of(np.array([predicted_over_measured(s, fitted) for s in figures]))
    assert len(figures) == 14 and errors.median <= 0.12


def test_the_interval_of_a_ratio_contains_the_residuals_of_networks(speeds):
    """TResNet-M over ResNet50 printed 1.035 and 0.907: the model does not decide which is faster"""
    of = {(s.name, s.load.phase): s for s in speeds}
    others = [s for s in speeds if s.name not in ("TResNet-M", "ResNet50")]
    fitted = fit_paper(others)
    for phase in ("inference", "training"):
        one, base = of["TResNet-M", phase], of["ResNet50", phase]
        ratio = fitted.ratio((one.load, one.batch), (base.load, base.batch))
        printed = one.images_per_second / base.images_per_second
        assert ratio.low < printed < ratio.high and ratio.low < 1 < ratio.high


def test_competitors_alone_hang_on_the_padding_rule(speeds, figures):
    """11 speeds of inference and 10 of training; padding of groups moves what they say by far."""
    competitors = [s for s in (*speeds, *figures) if not is_ours(s)]
    phases = [s.load.phase for s in competitors]
    assert (phases.count("inference"), phases.count("training")) == (11, 10)
    bias = {name: competitor_bias(speeds, figures, rules)[0] for name, rules in CHOICES.items()}
    inference = [each["inference"] for each in bias.values()]
    assert abs(bias["as chosen"]["inference"]) < 0.12 and max(inference) - min(inference) > 0.3


def test_the_report_prints_each_speed_and_each_choice():
    lines = "\n".join(report())
    for speed in paper_speeds():
        assert speed.name in lines
    for name in (*CHOICES, *PROXIES):
        assert name in lines
    assert "each network left out            median 3.8%" in lines

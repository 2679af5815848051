"""What the chapter on anti-aliasing shows, checked against independent references."""

import math

import nbformat
import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F
from helpers import images
from hypothesis import given, settings
from hypothesis import strategies as st
from legible import check_colours, check_letters
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from tresnet_lite import TResNetConfig, ablation_ladder, create_model
from tresnet_lite.checkout import ROOT
from tresnet_lite.claims.speed import changes_less
from tresnet_lite.counting import count_macs, count_parameters, variants
from tresnet_lite.experiments import antialias, shifts
from tresnet_lite.layers import BlurPool2d
from tresnet_lite.profiles import resolve
from tresnet_lite.records import Conditions, Record, Spread, collect
from tresnet_lite.show import antialias as drawings

# The filter


@settings(deadline=None, max_examples=25)
@given(height=st.integers(2, 9), width=st.integers(2, 9), channels=st.integers(1, 3))
def test_the_blur_is_two_averages_of_2x2_and_timms(height, width, channels):
    x = images(2, channels, height, width, dtype=torch.float64)
    averaged = F.avg_pool2d(
        F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), 2, stride=1), 2, stride=2
    )
    ours = BlurPool2d(2).double()(x)
    rounding = 9 * torch.finfo(torch.float64).eps  # a mean of nine values of at most 1
    torch.testing.assert_close(ours, averaged, rtol=0, atol=rounding)
    theirs = timm.layers.BlurPool2d(channels).double()(x)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=rounding)


@pytest.mark.parametrize("frequency", [0.0, 0.1, 1 / 4, 7 / 16, 1 / 2])
def test_a_wave_passes_by_the_squared_cosine(frequency):
    """A level wave through the layer itself, away from the border."""
    n = torch.arange(64, dtype=torch.float64)
    wave = torch.cos(2 * math.pi * frequency * n).expand(1, 1, 8, 64)
    out = BlurPool2d(1).double()(wave)[0, 0, 4, 1:-1]
    torch.testing.assert_close(
        out, math.cos(math.pi * frequency) ** 2 * wave[0, 0, 0, 1:-1], rtol=0, atol=1e-12
    )


def test_the_blur_sees_all_pixels_alike():
    x = torch.zeros(1, 1, 16, 16, dtype=torch.float64, requires_grad=True)
    (share,) = torch.autograd.grad(BlurPool2d(2).double()(x).sum(), x)
    # no reflection
    assert torch.equal(share[0, 0, 2:-2, 2:-2], torch.full((12, 12), 0.25, dtype=torch.float64))


# One layer


@settings(deadline=None, max_examples=25)
@given(
    down=st.integers(-5, 5),
    right=st.integers(-5, 5),
    height=st.integers(2, 8),
    width=st.integers(2, 8),
)
def test_a_fourier_shift_by_whole_pixels_is_a_roll(down, right, height, width):
    x = images(2, height, width, dtype=torch.float64)
    torch.testing.assert_close(
        shifts.fourier_shift(x, (down, right)), x.roll((down, right), (1, 2)), rtol=0, atol=1e-12
    )


def test_a_fourier_shift_by_half_a_pixel_moves_a_wave_by_half_a_pixel():
    n = torch.arange(15, dtype=torch.float64)
    for k in range(8):  # all frequencies that 15 samples have
        wave, moved = (
            torch.cos(2 * math.pi * k / 15 * (n - d) + 0.3).expand(3, 15) for d in (0, 0.5)
        )
        torch.testing.assert_close(shifts.fourier_shift(wave, (0, 0.5)), moved, rtol=0, atol=1e-12)


def wave_of(periods: int, side: int = 30) -> torch.Tensor:
    n = torch.arange(side, dtype=torch.float64)
    return torch.cos(2 * math.pi * periods / side * n + 0.3).expand(1, 1, side, side).contiguous()


@pytest.mark.parametrize("layer", [nn.AvgPool2d(1, 2), nn.AvgPool2d(2), BlurPool2d(2).double()])
@pytest.mark.parametrize(("periods", "error"), [(3, 0.0), (7, 0.0), (8, 2.0), (14, 2.0)])
def test_a_slow_wave_moves_along_and_a_folded_one_goes_the_wrong_way(layer, periods, error):
    """Below a frequency of 1/4, which are 7.5 periods here, the error is 0; above it the output has
    the other sign.
    """
    found = shifts.equivariance_error(layer, wave_of(periods), (0, 1))
    assert found.item() == pytest.approx(error, abs=1e-9)


@pytest.mark.parametrize("name", [*shifts.FIXED, *shifts.convolutions(torch.rand(2, 3, 22, 22))])
def test_even_shifts_are_exact(name):
    x = images(2, 3, 22, 22)
    layer = (shifts.FIXED | shifts.convolutions(x))[name]
    with torch.no_grad():
        error = shifts.equivariance_error(layer, x, (2, -4)).max()
    # two FFTs and a sum of 27 products, of values near 1
    assert error <= 100 * torch.finfo(torch.float32).eps


def test_the_error_is_the_folded_share():
    """A linear layer's odd samples, found by interpolating the even ones, are off by twice what has
    folded.
    """
    x = images(1, 1, 30, 30, dtype=torch.float64)
    spectrum = np.fft.fft(x[0, 0, 0].numpy())
    frequency = np.abs(np.fft.fftfreq(30))
    folded = np.fft.ifft(np.where(frequency > 0.25, spectrum, 0)).real[::2]
    rows = x[..., :1, :].expand(1, 1, 30, 30)
    kept = x[0, 0, 0, ::2].numpy()
    expected = 2 * np.linalg.norm(folded) / np.linalg.norm(kept - kept.mean())
    assert shifts.equivariance_error(nn.AvgPool2d(1, 2), rows, (0, 1)).item() == pytest.approx(
        expected, rel=1e-9
    )


def test_both_convolutions_have_the_same_weights():
    strided, blurred = shifts.convolutions(torch.rand(2, 3, 22, 22), seed=3).values()
    assert torch.equal(strided.conv.weight, blurred.conv.weight)
    assert (strided.conv.stride, blurred.conv.stride, blurred.aa.stride) == ((2, 2), (1, 1), 2)


# The four schemes


@pytest.fixture(scope="module")
def on_meta():
    with torch.device("meta"):
        return {scheme: variants.scheme_network(scheme) for scheme in antialias.SCHEMES}


def test_the_schemes_have_the_same_parameters(on_meta):
    assert {count_parameters(network) for network in on_meta.values()} == {31_389_032}


def test_two_schemes_are_the_last_rungs_of_table_4(on_meta):
    ladder = ablation_ladder()
    for scheme, rung in antialias.SCHEME_RUNGS.items():
        assert on_meta[scheme].config == ladder[rung]
    assert on_meta["economic"].config == TResNetConfig()


def test_what_each_scheme_filters_is_what_the_table_says(on_meta):
    table = antialias.schemes().set_index("name")
    for scheme, network in on_meta.items():
        strides = [m for m in network.modules() if isinstance(m, nn.Conv2d) and m.stride != (1, 1)]
        averages = [m for m in network.modules() if isinstance(m, nn.AvgPool2d)]
        blurs = [m for m in network.modules() if isinstance(m, BlurPool2d)]
        row = table.loc[antialias.SCHEME_LABELS[scheme]]
        told = {"blur, twice": 2, "blur": 3, "average 2×2": 0, "–": 0}
        assert len(blurs) == sum(told[cell] for cell in row)
        assert len(averages) == (3 if row.shortcuts == "average 2×2" else 0)
        assert len(strides) == 3 * (row.convolutions == "–") + 3 * (row.shortcuts == "–")


def test_the_dense_stem_holds_the_stems_own_outputs():
    """Every fourth pixel of the dense stem, before its blurs, is the stem that it replaces."""
    torch.manual_seed(0)
    plain = create_model("tresnet_m", width=8, norm="bn").double().eval()
    torch.manual_seed(0)
    dense = variants.blur_everything(create_model("tresnet_m", width=8, norm="bn")).double().eval()
    x = images(1, 3, 32, 48, dtype=torch.float64)
    stem = dense.body.conv1
    with torch.no_grad():
        every = stem.act(stem.bn(stem.conv(x)))
        torch.testing.assert_close(
            every[..., ::4, ::4], plain.body.conv1(plain.body.s2d(x)), rtol=1e-12, atol=1e-12
        )
        assert stem(x).shape == (1, 8, 8, 12)
        assert dense(x).shape == (1, 1000)


def test_the_places_add_up_to_the_networks_difference(on_meta):
    """What blurs add to the MACs is what the table adds up to, by our counter and by PyTorch's
    own.
    """
    table = antialias.blurred_convolutions(image_size=64)
    more = count_macs(on_meta["economic"], (3, 64, 64)) - count_macs(
        on_meta["avgpool"], (3, 64, 64)
    )
    assert (table["blurred"] - table["strided"]).sum() * 1e6 == pytest.approx(more)

    flops = {}
    for scheme in ("avgpool", "economic"):
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            on_meta[scheme].eval()(torch.zeros(1, 3, 64, 64, device="meta"))
        flops[scheme] = counter.get_total_flops() / 2
    blurs = table["blur"].sum() * 1e6  # PyTorch counts the depthwise filters too
    assert flops["economic"] - flops["avgpool"] == pytest.approx(more + blurs)


def test_a_blur_takes_the_time_of_its_bytes():
    """By hand: of an input of n numbers, padding reads n and writes p, filtering reads p and writes
    n/4, all of two bytes. The convolution of stride 1 is limited by its arithmetic.
    """
    table = antialias.blurred_convolutions().set_index("place")
    for row, channels, side in zip(table.itertuples(), (128, 256, 512), (56, 28, 14), strict=True):
        n, padded = channels * side**2, channels * (side + 2) ** 2
        assert row.moved_mb * 1e6 == pytest.approx(2 * (n + padded + padded + n / 4), rel=1e-4)
        assert row.blur_time == pytest.approx(row.moved_mb * 1e6 / 900e9 * 1e6)
        assert row.dense_time == pytest.approx(2 * row.blurred * 1e6 / 125e12 * 1e6)
    assert table["blur_share"].round(2).tolist() == [0.82, 0.21, 0.12]


def test_costs_grow_with_what_is_blurred():
    table = (
        antialias.costs(image_size=64).set_index("name").loc[list(antialias.SCHEME_LABELS.values())]
    )
    assert table["macs"].is_monotonic_increasing and table["published"].is_monotonic_increasing
    assert (table["lean"] < table["published"]).all()


# Networks and shifts


def test_photographs_are_six_different_pictures():
    photos = shifts.colour_photographs(48)
    assert photos.shape == (6, 3, 48, 48) and photos.min() >= 0 and photos.max() <= 1
    assert torch.pdist(photos.flatten(1)).min() > 1 and photos.std((1, 2, 3)).min() > 0.05


def test_views_are_the_crops():
    photos = images(2, 3, 20, 20)
    shown = shifts.views(photos, 20 - shifts.WINDOW + 1)
    assert shown.shape == (8, 8, 2, 3, 13, 13)
    assert torch.equal(shown[5, 2], photos[..., 5:18, 2:15])


def test_changes_are_in_units_of_the_distance_between_photographs():
    """A model that gives the place down, and a constant that tells the two photographs apart by
    10.
    """
    shown = torch.zeros(8, 8, 2, 1, 1, 1)
    shown += torch.arange(8.0)[:, None, None, None, None, None]
    shown[:, :, 1] += 10
    changes = shifts.feature_changes(lambda crops: crops.flatten(1), shown)
    assert torch.equal(changes, (torch.arange(8.0) / 10)[:, None, None].expand(8, 8, 2))


def test_pooled_pixels_hardly_change_and_a_single_pixel_does():
    """Two models whose answer is known: the mean colour moves little when a photograph does, one
    pixel much.
    """
    shown = shifts.views(shifts.colour_photographs(64 + 7), 64)
    mean = shifts.feature_changes(lambda x: x.mean((2, 3)), shown)
    pixel = shifts.feature_changes(lambda x: x[..., 32, 32], shown)
    assert mean[0, 0].abs().max() == 0 and mean.mean() < 0.2 * pixel.mean()


def test_every_scheme_gets_the_same_weights_and_living_branches():
    x = images(4, 3, 64, 64)
    networks = {s: shifts.random_network(s, x, seed=1, width=8) for s in antialias.SCHEMES}
    weights = {
        s: dict(n.named_parameters())["body.layer3.1.conv2.conv.weight"]
        for s, n in networks.items()
    }
    assert all(torch.equal(w, weights["economic"]) for w in weights.values())
    block = networks["economic"].body.layer3[1]
    assert block.last_norm.weight.unique().tolist() == pytest.approx([1 / math.sqrt(21)])
    assert networks["economic"](x).shape == (4, 256) and not networks["economic"].training


def test_calibration_normalises():
    """In evaluation mode, the images that it saw come out of a calibrated norm with mean 0 and
    variance 1.
    """
    x = 3 + 2 * images(8, 4, 5, 5)
    norm = shifts.calibrate(nn.BatchNorm2d(4), x)
    y = norm(x).detach()
    assert y.mean((0, 2, 3)).abs().max() < 1e-5 and norm.momentum == 0.1
    # eps against a variance of a third
    assert y.var((0, 2, 3), unbiased=True).sub(1).abs().max() < 1e-3


def test_agreement_counts_pairs():
    """Two classes for the upper and the lower half of the shifts: a pair agrees within a half."""
    shown = torch.arange(64.0).reshape(8, 8, 1, 1).expand(8, 8, 1, 2)
    halves = shifts.agreement(
        lambda crops: torch.stack([crops[:, 0] < 32, crops[:, 0] >= 32], 1).float(), shown
    )
    assert halves == pytest.approx(2 * 32 * 31 / (64 * 63))
    assert shifts.agreement(lambda crops: torch.ones(len(crops), 3), shown) == 1


def test_records_of_shifts_hold_what_was_measured():
    changes = {scheme: torch.rand(2, 8, 8, 6) + k + 1 for k, scheme in enumerate(antialias.SCHEMES)}
    changes = {
        scheme: values * (torch.arange(64).reshape(8, 8, 1) > 0)
        for scheme, values in changes.items()
    }
    records = {(r.model, r.metric): r for r in shifts.change_records(changes, resolve("smoke"))}
    own = changes["full"].flatten(1, 2)[:, 1:].mean(1)  # without the crop in place
    base = changes["avgpool"].flatten(1, 2)[:, 1:].mean(1)
    value = records["full", "shift_change"].value
    assert value.median == pytest.approx(np.quantile(own, 0.5), rel=1e-5) and value.repeats == 12
    assert records["full", "shift_ratio"].value.q1 == pytest.approx(
        np.quantile(own / base, 0.25), rel=1e-5
    )
    table = shifts.change_table(list(records.values()))
    assert (
        table["name"].tolist() == list(antialias.SCHEME_LABELS.values())
        and table["shift_ratio"][1] == 1
    )


@pytest.mark.parametrize(
    ("q3", "resolution", "word"),
    [(0.99, 224, "reproduced"), (1.01, 224, "differs"), (0.99, 64, "not attempted")],
)
def test_the_verdict_on_shifts_follows_the_upper_quartile(q3, resolution, word):
    value, ran = Spread(0.95, 0.9, q3, 6), Conditions(6, resolution)
    record = Record(
        "antialias", "random", "economic", "inference", "shift_ratio", value, ran, collect()
    )
    (verdict,) = changes_less([record], suite="antialias", model="economic")
    assert verdict.word == word


def test_speeds_stand_beside_the_papers():
    def record(model: str, speed: float) -> Record:
        value = Spread(speed, speed, speed, 5)
        return Record(
            "antialias",
            "tresnet_m",
            model,
            "inference",
            "throughput",
            value,
            Conditions(2, 64),
            collect(),
        )

    table = antialias.EXPERIMENT.speeds(
        [record("strided", 40.0), record("economic", 30.0), record("full", 20.0)]
    )
    table = table.set_index("model")
    assert table["ratio"].tolist() == [1, 0.75, 0.5]
    assert table.loc["economic", "paper_ratio"] == 2930 / 3280 and math.isnan(
        table.loc["full", "paper"]
    )


# Figures and the notebook


@pytest.fixture(scope="module")
def drawn():
    wave = torch.cos(2 * math.pi * 7 / 16 * torch.arange(33.0))
    return {
        "aliasing": drawings.aliasing(wave, wave * 0.04, 7 / 16),
        "responses": drawings.responses(
            {"1 1": torch.ones(2) / 2, "1 2 1": torch.tensor([1, 2, 1]) / 4}
        ),
        "shift_maps": drawings.shift_maps(
            {name: torch.rand(8, 8) for name in antialias.SCHEME_LABELS.values()}
        ),
    }


@pytest.mark.parametrize("kind", ["aliasing", "responses", "shift_maps"])
def test_figures_are_legible(drawn, kind):
    check_colours(drawn[kind].html)
    check_letters(drawn[kind].html)


def test_figures_tell_what_they_show(drawn):
    assert (
        "a period of 2.29 pixels" in drawn["aliasing"].text
        and "a period of 16 pixels" in drawn["aliasing"].text
    )
    assert "1 2 1 has a gain of 0.50 at a frequency of 1/4" in drawn["responses"].text


@pytest.fixture(scope="module")
def chapter():
    return nbformat.read(ROOT / "notebooks" / "02_antialias.ipynb", as_version=4)


def test_the_chapter_is_committed_as_the_smoke_profile(chapter):
    values: dict = {}
    exec(next(c.source for c in chapter.cells if c.id == "parameters"), values)
    del values["__builtins__"]
    published = {"weights": "timm/tresnet_m.miil_in1k"}
    fixed = {"profile": "smoke", "device": "auto"} | published
    assert values == fixed | dict.fromkeys(("image_size", "batch", "repeats"))

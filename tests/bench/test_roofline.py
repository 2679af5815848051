"""The roofline: ceilings against hand counts on a simulated clock, bytes moved against pencil and
paper.
"""

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tresnet_lite.bench import Timing, roofline
from tresnet_lite.bench.roofline import Roofline, ceiling_records, ceiling_work, measure_ceilings
from tresnet_lite.counting.traffic import bytes_moved, intensity
from tresnet_lite.profiles import PROFILES
from tresnet_lite.records import Conditions, Record, Spread, collect

FLOAT = 4  # bytes


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setitem(roofline.COPIED, "cpu", 64)
    monkeypatch.setitem(roofline.MULTIPLIED, "cpu", 32)
    monkeypatch.setitem(roofline.CONVOLVED, "cpu", (2, 8, 6))


def ceilings(bandwidth: float, arithmetic: float) -> Roofline:
    return Roofline(*(Spread(value, value, value, 3) for value in (bandwidth, arithmetic)))


@given(st.floats(1, 1e13), st.floats(1, 1e15), st.floats(1e-3, 1e6))
def test_under_the_slope_before_the_ridge_and_under_the_roof_after_it(
    bandwidth, arithmetic, intensity
):
    roof = ceilings(bandwidth, arithmetic)
    expected = intensity * bandwidth if intensity < roof.ridge else arithmetic
    assert roof.attainable(intensity) == pytest.approx(expected)
    assert roof.attainable(roof.ridge) == pytest.approx(arithmetic)


def test_each_kind_of_work_is_what_its_amount_says(small):
    """The amounts by hand, and the results that the calls give, so that the work is really done."""
    work = ceiling_work("cpu")
    amounts = {name: (w.amount, w.metric) for name, w in work.items()}
    assert amounts == {
        "copy": (2 * 64 * 64 * FLOAT, "bandwidth"),
        "matrix product": (2 * 32**3, "arithmetic"),
        "3×3 convolution": (2 * 9 * 8 * 8 * 2 * 6 * 6, "arithmetic"),
    }
    assert (work["copy"].run() == 1).all()
    assert work["matrix product"].run().count_nonzero() == 32 * 32
    assert work["3×3 convolution"].run().shape == (2, 8, 6, 6)


@pytest.mark.parametrize("name", ["matrix product", "3×3 convolution"])
def test_the_amounts_are_pytorchs_own_count(small, name):
    from torch.utils.flop_counter import FlopCounterMode

    work = ceiling_work("cpu")[name]
    with FlopCounterMode(display=False) as counter:
        work.run()
    # The product writes into a given matrix, which the counter has no rule for; its formula is the
    # same.
    assert counter.get_total_flops() in (work.amount, 0) and (
        name == "matrix product" or counter.get_total_flops()
    )


def test_the_defaults_outgrow_the_caches():
    """The copied matrices are larger than the largest caches, a few hundred MB on a CPU and 50 MB
    on a GPU.
    """
    assert (
        2 * roofline.COPIED["cpu"] ** 2 * FLOAT > 300e6
        and 2 * roofline.COPIED["cuda"] ** 2 * FLOAT > 1e9
    )


def test_records_from_timings(small):
    work = ceiling_work("cpu")
    timings = {name: Timing((2.0, 2.0, 2.0), calls=4) for name in work}  # half a second a call
    records = ceiling_records(work, timings, "cpu")
    rates = {r.model: (r.metric, r.unit, r.value.median) for r in records}
    assert rates["copy"] == ("bandwidth", "B/s", 2 * work["copy"].amount)
    assert rates["matrix product"] == ("arithmetic", "FLOP/s", 2 * work["matrix product"].amount)
    assert all(Record.from_json(r.to_json()) == r for r in records)
    roof = Roofline.from_records(records)
    assert roof.arithmetic.median == max(
        rate for metric, _, rate in rates.values() if metric == "arithmetic"
    )


def test_a_profile_measures_both_ceilings(small, monkeypatch):
    """With a clock that says a second for each call, the rates are the amounts."""

    def a_second_each(functions, **options):
        assert options["device"] == "cpu" and options["min_repeats"] == PROFILES["smoke"].repeats
        return {
            name: Timing((1.0,) * 3, calls=bool(fn() is not None)) for name, fn in functions.items()
        }

    monkeypatch.setattr(roofline, "measure_many", a_second_each)
    roof = Roofline.from_records(measure_ceilings(PROFILES["smoke"]))
    assert roof.bandwidth.median == 2 * 64 * 64 * FLOAT and roof.arithmetic.median == max(
        2 * 32**3, 2 * 9 * 8**2 * 72
    )


def planted(metric: str, value: float, device: str = "one") -> Record:
    provenance = dataclasses.replace(collect(), device=device)
    spread = Spread(value, value, value, 3)
    return Record(
        "roofline", "ceilings", metric, "inference", metric, spread, Conditions(1, 8), provenance
    )


def test_a_roofline_needs_both_ceilings_of_one_device():
    with pytest.raises(ValueError, match="metric arithmetic"):
        Roofline.from_records([planted("bandwidth", 1.0)])
    with pytest.raises(ValueError, match="one device"):
        Roofline.from_records([planted("bandwidth", 1.0), planted("arithmetic", 1.0, "other")])


def test_an_unknown_dtype_is_refused():
    with pytest.raises(ValueError, match="float16"):
        ceiling_work("cpu", "float8")


@settings(deadline=None, max_examples=20)
@given(
    batch=st.integers(1, 3),
    in_channels=st.integers(1, 5),
    out_channels=st.integers(1, 5),
    side=st.integers(3, 8),
    device=st.sampled_from(["cpu", "meta"]),
)
def test_bytes_of_a_chain_by_hand(batch, in_channels, out_channels, side, device):
    """A convolution reads x and its weight and writes y; an activation in place reads and writes y;
    a view nothing.
    """
    x = torch.zeros(batch, in_channels, side, side, device=device)
    conv = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False, device=device)
    model = nn.Sequential(conv, nn.ReLU(inplace=True), nn.Flatten())
    y = batch * out_channels * side**2
    by_hand = FLOAT * (x.numel() + 9 * in_channels * out_channels + y + 2 * y)
    assert bytes_moved(model, x) == by_hand
    flop = 2 * 9 * in_channels * out_channels * batch * side**2
    assert intensity(model, x) == pytest.approx(flop / by_hand)


def test_half_precision_moves_half_the_bytes():
    x, model = torch.zeros(2, 4, 8, 8, device="meta"), nn.Conv2d(4, 4, 1, device="meta")
    assert bytes_moved(model.half(), x.half()) * 2 == bytes_moved(model.float(), x)


def test_counting_changes_nothing():
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    model[1].eval()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    bytes_moved(model, torch.rand(2, 3, 4, 4))
    assert (model.training, model[1].training) == (True, False)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())

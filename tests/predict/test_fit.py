"""Constants recovered from made-up speeds, and intervals that hold what they promise."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from made_up import RATES, load, speed

from tresnet_lite.predict import Speed, fit
from tresnet_lite.predict.fit import Errors, left_out, proxy_left_out
from tresnet_lite.predict.roofline import Rates, Rules

CASES = {
    ("arithmetic", "bandwidth"): RATES,
    ("arithmetic", "bandwidth", "depthwise", "slowdown"): Rates(2.5e13, 7e11, 2.3e11, 1.33),
    ("arithmetic", "bandwidth", "slowdown", "launch"): Rates(1e14, 2e12, slowdown=1.4, launch=8e-5),
}


@pytest.mark.parametrize("free", CASES)
@pytest.mark.parametrize("robust", [False, True])
def test_constants_are_recovered_from_made_up_speeds(free, robust):
    rates, rules = CASES[free], Rules(grouped=32)
    phases = ("inference", "training") if "slowdown" in free else ("inference",)
    speeds = [speed(seed, rates, rules, phase) for phase in phases for seed in range(12)]
    fitted = fit(speeds, free, rules, robust=robust)
    for name in free:
        assert getattr(fitted.rates, name) == pytest.approx(getattr(rates, name), rel=1e-3), name
    assert fitted.spread < 1e-4 and fitted.degrees == len(speeds) - len(free)
    assert np.abs(left_out(speeds, partial(fit, free=free, rules=rules)) - 1).max() < 1e-3


def test_a_robust_fit_is_not_moved_by_an_odd_network():
    speeds = [speed(seed, RATES, Rules()) for seed in range(15)]
    speeds[3] = replace(speeds[3], images_per_second=speeds[3].images_per_second / 4)
    off = [abs(fit(speeds, robust=r).rates.bandwidth / RATES.bandwidth - 1) for r in (True, False)]
    assert off[0] < 0.02 < off[1]


def test_a_data_sheet_is_a_ceiling():
    speeds = [speed(seed, RATES, Rules()) for seed in range(10)]
    low = Rates(arithmetic=RATES.arithmetic, bandwidth=0.9 * RATES.bandwidth)
    assert fit(speeds, ceiling=low).rates.bandwidth == pytest.approx(low.bandwidth, rel=1e-3)
    high = Rates(2 * RATES.arithmetic, 2 * RATES.bandwidth)
    assert fit(speeds, ceiling=high).rates.bandwidth == pytest.approx(RATES.bandwidth, rel=1e-3)


def simulate(residual: float, networks: int, draws: int = 60) -> tuple[list[bool], list[bool], int]:
    """Speeds with lognormal residuals: unseen ones, and ratios, inside of their intervals?

    Also how often an interval of the constants alone would have held the speed.
    """
    random, inside, ratios, constants_alone = np.random.default_rng(7), [], [], 0
    for draw in range(draws):
        off = random.normal(0, residual, networks + 2)
        made = [
            speed(1000 * draw + index, RATES, Rules(), off=off[index])
            for index in range(networks + 2)
        ]
        fitted, (one, other) = fit(made[:networks]), made[networks:]
        certain = replace(fitted, spread=1e-9)
        for unseen in (one, other):
            interval = fitted.predict(unseen.load, unseen.batch)
            inside.append(interval.low <= unseen.images_per_second <= interval.high)
            narrow = certain.predict(unseen.load, unseen.batch)
            constants_alone += narrow.low <= unseen.images_per_second <= narrow.high
        interval = fitted.ratio((one.load, one.batch), (other.load, other.batch))
        real = one.images_per_second / other.images_per_second
        ratios.append(interval.low <= real <= interval.high)
    return inside, ratios, constants_alone


@pytest.mark.parametrize("residual, networks", [(0.03, 20), (0.1, 8), (0.2, 20)])
def test_intervals_of_95_percent_hold_unseen_networks(residual, networks):
    """Of n draws between 90 and 99 %: 2.6 standard errors of a binomial below, 2 above."""
    inside, ratios, constants_alone = simulate(residual, networks)
    assert 0.9 <= np.mean(inside) <= 0.99
    assert np.mean(ratios) >= 0.88
    # What an interval without the residuals of networks would do
    assert constants_alone / len(inside) < 0.75


def test_a_ratio_of_a_network_to_itself_is_one_and_intervals_contain_their_value():
    fitted = fit([speed(seed, RATES, Rules(), off=0.1 * (-1) ** seed) for seed in range(8)])
    step = (load(99), 64)
    ratio, one = fitted.ratio(step, step), fitted.predict(*step)
    assert ratio.value == pytest.approx(1) and ratio.low < 1 < ratio.high
    assert one.low < one.value < one.high
    # residuals of two networks, and no uncertainty of constants, which cancels
    width = np.log(ratio.high) / fitted._quantile
    assert width == pytest.approx(np.sqrt(2) * fitted.spread)


def test_training_may_have_a_spread_of_its_own():
    fitted = fit([speed(seed, RATES, Rules(), off=0.1 * (-1) ** seed) for seed in range(8)])
    wide = replace(fitted, training_spread=3 * fitted.spread)
    assert wide.predict(load(5), 64) == fitted.predict(load(5), 64)
    training = load(5, "training")
    assert wide.predict(training, 64).high > fitted.predict(training, 64).high


def test_a_network_is_left_out_in_both_phases():
    rates = Rates(3e13, 7e11, slowdown=1.3)
    phases = ("inference", "training")
    speeds = [speed(seed, rates, Rules(), phase) for seed in range(8) for phase in phases]
    seen: list[set[str]] = []

    def refit(others: list[Speed]):
        seen.append({other.name for other in others})
        return fit(others, ("arithmetic", "bandwidth", "slowdown"))

    left_out(speeds, refit)
    names = {speed.name for speed in speeds}
    assert seen == [names - {f"network {seed}"} for seed in range(8)]


def test_a_proxy_has_one_constant_for_each_phase():
    speeds = [
        replace(speed(seed, RATES, Rules(), phase), images_per_second=c / (seed + 1))
        for seed in range(5)
        for phase, c in (("inference", 100.0), ("training", 30.0))
    ]
    ratios = proxy_left_out(speeds, lambda s: int(s.name.split()[1]) + 1)
    assert ratios == pytest.approx(np.ones(10))


def test_errors_are_relative_to_the_measured_speed():
    errors = Errors.of(np.array([1.1, 0.8, 1.0]))
    assert errors.median == pytest.approx(0.1)
    assert errors.rms == pytest.approx(np.sqrt((0.01 + 0.04) / 3))
    assert str(errors) == "median 10.0%, rms 12.9%"


def test_what_cannot_be_fitted_is_refused():
    speeds = [speed(seed, RATES, Rules()) for seed in range(3)]
    with pytest.raises(ValueError, match="2 speeds cannot give 2 constants: add networks"):
        fit(speeds[:2])
    with pytest.raises(ValueError, match="no such constant: speed; there are arithmetic"):
        fit(speeds, ("speed",))
    with pytest.raises(ValueError, match="a speed must be a positive number"):
        fit([*speeds, replace(speeds[0], images_per_second=0.0)])

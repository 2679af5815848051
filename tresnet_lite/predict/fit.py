"""Constants of a device fitted to measured speeds, and what they say of another network."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from scipy.optimize import least_squares
from scipy.stats import t as student

from tresnet_lite.predict.load import Load
from tresnet_lite.predict.roofline import Rates, Rules, demand, image_seconds

START = Rates(arithmetic=4e13, bandwidth=8e11, depthwise=4e11, slowdown=1.2, launch=5e-6)
STARTS = (
    START,
    replace(START, arithmetic=1.5e13),
    replace(START, arithmetic=1e14, bandwidth=2e12, launch=5e-5),
)
COUNTED = Rules()
CAPPED = ("arithmetic", "bandwidth")  # what a data sheet promises
UNHEARD_OF = Rates(arithmetic=1e18, bandwidth=1e16)  # a thousand times as fast as any device
# A residual of 5 % is small; beyond it the robust loss grows with the residual, not its square.
SMALL = 0.05
LEVEL = 0.95  # of the intervals


@dataclass(frozen=True)
class Speed:
    """A measured speed of a network.

    Attributes:
        name: of the network, by which leaving out takes all of its speeds.
        load: what its step asks for; its phase is the speed's.
        batch: images per step.
        images_per_second: measured, or printed.
    """

    name: str
    load: Load
    batch: int
    images_per_second: float


@dataclass(frozen=True)
class Fit:
    """Constants, and how well they reproduce what they were fitted to.

    Attributes:
        rates, rules: with which `image_seconds` predicts.
        free: the fields of `rates` that were fitted.
        covariance: of the logarithms of these, (free, free).
        spread: root mean square of the log residuals of networks, over the degrees of freedom.
        degrees: of freedom: speeds less constants.
        training_spread: of training, where that was fitted elsewhere; None: as `spread`.
    """

    rates: Rates
    rules: Rules
    free: tuple[str, ...]
    covariance: np.ndarray
    spread: float
    degrees: int
    training_spread: float | None = None

    def predict(self, load: Load, batch: int) -> Prediction:
        """The speed of a network, with an interval that networks fitted to fall into."""
        return self._interval(lambda seconds: 1 / seconds[0], [(load, batch)])

    def ratio(self, one: tuple[Load, int], other: tuple[Load, int]) -> Prediction:
        """The speed of one network over another's; each has residuals of its own."""
        return self._interval(lambda seconds: seconds[1] / seconds[0], [one, other])

    def spread_of(self, load: Load) -> float:
        """Root mean square of the log residuals of networks in a load's phase."""
        return (load.phase == "training" and self.training_spread) or self.spread

    def _interval(
        self, value: Callable[[np.ndarray], float], steps: Sequence[tuple[Load, int]]
    ) -> Prediction:
        asked = demand(steps, self.rules)
        logs = np.log([getattr(self.rates, name) for name in self.free])

        def log_value(at: np.ndarray) -> np.ndarray:
            rates = replace(self.rates, **dict(zip(self.free, np.exp(at).tolist(), strict=True)))
            return np.log([value(image_seconds(asked, rates))])

        slope = _differences(log_value, logs)[0]
        residuals = sum(self.spread_of(load) ** 2 for load, _ in steps)
        variance = residuals + slope @ self.covariance @ slope
        width, centre = self._quantile * np.sqrt(variance), log_value(logs)[0]
        return Prediction(*np.exp([centre, centre - width, centre + width]).tolist())

    @property
    def _quantile(self) -> float:
        return float(student.ppf((1 + LEVEL) / 2, self.degrees))


@dataclass(frozen=True)
class Prediction:
    """A predicted number, and the ends of its 95 % interval."""

    value: float
    low: float
    high: float


def fit(
    speeds: Sequence[Speed],
    free: Sequence[str] = ("arithmetic", "bandwidth"),
    rules: Rules = COUNTED,
    *,
    robust: bool = False,
    ceiling: Rates | None = None,
) -> Fit:
    """The rates that reproduce speeds best, by the squares of log(predicted / measured).

    Args:
        free: fields of `Rates` to fit; the others keep the values of a device without them.
        robust: large residuals count by their size, not its square (soft L1), so that a few
            networks whose kernels are odd do not move the constants of all others.
        ceiling: a data sheet's rates, which arithmetic and bandwidth may not exceed. Where speeds
            hardly tell the two apart, the best fit may lie beyond what the device can do.

    Raises:
        ValueError: no more speeds than constants, a speed that is not positive, or an unknown
            constant.
    """
    known = [field.name for field in fields(Rates)]
    if unknown := set(free) - set(known):
        raise ValueError(f"no such constant: {', '.join(unknown)}; there are {', '.join(known)}")
    if len(speeds) <= len(free):
        raise ValueError(f"{len(speeds)} speeds cannot give {len(free)} constants: add networks")
    if not all(0 < speed.images_per_second < np.inf for speed in speeds):
        raise ValueError("a speed must be a positive number of images per second")
    asked = demand([(speed.load, speed.batch) for speed in speeds], rules)
    measured = np.array([speed.images_per_second for speed in speeds])

    def rates_of(logs: np.ndarray) -> Rates:
        values = dict(zip(free, np.exp(logs).tolist(), strict=True))
        return replace(Rates(START.arithmetic, START.bandwidth), **values)

    def residuals(logs: np.ndarray) -> np.ndarray:
        return np.log(image_seconds(asked, rates_of(logs)) * measured)

    # Where arithmetic, or memory, limits nothing, any rate fits: it stays below the unheard of.
    highest = [getattr(ceiling or UNHEARD_OF, name) if name in CAPPED else np.inf for name in free]
    bounds = (np.full(len(free), -np.inf), np.log(highest))
    loss: dict[str, Any] = {"loss": "soft_l1", "f_scale": SMALL} if robust else {}
    solutions = []
    for start in STARTS:  # the sum of squares has several valleys
        at = np.log([getattr(start, name) for name in free])
        # Steps wide enough that operations at the edge between their two limits do not decide.
        at = np.minimum(at, bounds[1] - 0.01)
        solutions.append(least_squares(residuals, at, bounds=bounds, diff_step=1e-3, **loss))
    solution = min(solutions, key=lambda solution: solution.cost)
    left = residuals(solution.x)
    degrees = len(speeds) - len(free)
    spread = float(np.sqrt(np.square(left).sum() / degrees))
    slopes = _differences(residuals, solution.x)
    # A constant that nothing limits has no slope: the pseudo-inverse leaves it out.
    covariance = spread**2 * np.linalg.pinv(slopes.T @ slopes)
    return Fit(rates_of(solution.x), rules, tuple(free), covariance, spread, degrees)


def left_out(
    speeds: Sequence[Speed],
    refit: Callable[[Sequence[Speed]], Fit],
    group: Callable[[Speed], Hashable] = lambda speed: speed.name,
) -> np.ndarray:
    """Each speed as predicted from all networks but its own, over the measured one.

    Args:
        refit: what makes constants of speeds.
        group: speeds of one group are left out together.
    """
    ratios = np.empty(len(speeds))
    groups = [group(speed) for speed in speeds]
    for out in dict.fromkeys(groups):
        others = refit([s for s, own in zip(speeds, groups, strict=True) if own != out])
        for index, (speed, own) in enumerate(zip(speeds, groups, strict=True)):
            if own == out:
                ratios[index] = predicted_over_measured(speed, others)
    return ratios


def predicted_over_measured(speed: Speed, fitted: Fit) -> float:
    """The predicted speed over the measured one."""
    asked = demand([(speed.load, speed.batch)], fitted.rules)
    return 1 / float(image_seconds(asked, fitted.rates)[0]) / speed.images_per_second


@dataclass(frozen=True)
class Errors:
    """Of predictions: the median of |predicted / measured - 1| and its root mean square."""

    median: float
    rms: float

    @classmethod
    def of(cls, ratios: np.ndarray) -> Errors:
        off = np.abs(ratios - 1)
        return cls(float(np.median(off)), float(np.sqrt(np.square(off).mean())))

    def __str__(self) -> str:
        return f"median {self.median:.1%}, rms {self.rms:.1%}"


def proxy_left_out(speeds: Sequence[Speed], proxy: Callable[[Speed], float]) -> np.ndarray:
    """As `left_out`, by one number alone: speed = constant / proxy, a constant for each phase."""
    logs = np.log([speed.images_per_second * proxy(speed) for speed in speeds])
    ratios = np.empty(len(speeds))
    for index, speed in enumerate(speeds):
        others = [
            log
            for log, other in zip(logs, speeds, strict=True)
            if other.name != speed.name and other.load.phase == speed.load.phase
        ]
        ratios[index] = np.exp(np.mean(others) - logs[index])
    return ratios


def _differences(function: Callable[[np.ndarray], np.ndarray], at: np.ndarray) -> np.ndarray:
    """Central differences of a function of (n,), as (outputs, n)."""
    step = 1e-3
    columns = []
    for axis in np.eye(len(at)) * step:
        columns.append((function(at + axis) - function(at - axis)) / (2 * step))
    return np.stack(columns, axis=-1)

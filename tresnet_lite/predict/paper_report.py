"""How well counting predicts the paper's speeds: `python -m tresnet_lite.predict paper`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import numpy as np

from tresnet_lite.ablation import ablation_ladder
from tresnet_lite.counting.networks import OURS
from tresnet_lite.paper import MODELS
from tresnet_lite.predict.constants import PAPER_RULES, fit_paper
from tresnet_lite.predict.fit import (
    Errors,
    Speed,
    left_out,
    predicted_over_measured,
    proxy_left_out,
)
from tresnet_lite.predict.paper_speeds import digitised_speeds, paper_speeds
from tresnet_lite.predict.roofline import Rules

# What is decided before anything is fitted, and moves what competitors alone say of TResNets
CHOICES: dict[str, Rules] = {
    "as chosen": PAPER_RULES,
    **{
        f"groups padded to {tile}": replace(PAPER_RULES, grouped=tile)
        for tile in (1, 16, 24, 40, 64)
    },
    "dense outputs padded to 128": replace(PAPER_RULES, outputs=128),
    "dense outputs padded to 8": replace(PAPER_RULES, outputs=8),
    "nothing padded": Rules(inputs=1, outputs=1, grouped=1),
    "a norm's reads in training, once": replace(PAPER_RULES, norm_passes=1),
    "a norm's reads in training, three times": replace(PAPER_RULES, norm_passes=3),
    "published Inplace-ABN as two operations": replace(PAPER_RULES, split_published=True),
}


def report() -> Iterator[str]:
    """Lines: the 24 speeds left out, the digitised ones, and competitors alone."""
    speeds, figures = paper_speeds(), digitised_speeds()
    yield from _left_out_lines(speeds)
    yield ""
    yield from _digitised_lines(speeds, figures)
    yield ""
    yield from competitor_lines(speeds, figures)


def _left_out_lines(speeds: list[Speed]) -> Iterator[str]:
    fitted = fit_paper(speeds)
    ratios = left_out(speeds, fit_paper)
    fits = np.array([predicted_over_measured(speed, fitted) for speed in speeds])
    rates = fitted.rates
    depthwise = 2 * (rates.depthwise or 0) / 1e12
    yield "The paper's 24 speeds on a V100, img/s, by four constants for both phases:"
    yield f"  dense {2 * rates.arithmetic / 1e12:.1f} and depthwise {depthwise:.2f} TFLOP/s,"
    yield f"  memory {rates.bandwidth / 1e9:.0f} GB/s, training {rates.slowdown:.2f} × counted"
    yield ""
    yield f"  {'network':24} {'px':>4} {'phase':9} {'printed':>7} {'fitted':>7} {'left out':>8}"
    for speed, fit_ratio, ratio in zip(speeds, fits, ratios, strict=True):
        printed = speed.images_per_second
        numbers = (
            f"{printed:7.0f} {fit_ratio * printed:7.0f} {ratio * printed:8.0f} {ratio - 1:+6.1%}"
        )
        yield f"  {speed.name:24} {speed.load.side:4} {speed.load.phase:9} {numbers}"
    yield ""
    yield f"  fitted to all                    {Errors.of(fits)}"
    yield f"  each network left out            {Errors.of(ratios)}"
    for name, proxy in PROXIES.items():
        yield f"  the same by {name:20} {Errors.of(proxy_left_out(speeds, proxy))}"


PROXIES = {
    "MACs alone": lambda speed: speed.load.macs.sum(),
    "activations alone": lambda speed: speed.load.activations,
    "bytes alone": lambda speed: speed.load.moved.sum(),
}


def _digitised_lines(speeds: list[Speed], figures: list[Speed]) -> Iterator[str]:
    fitted = fit_paper(speeds)
    ratios = np.array([predicted_over_measured(speed, fitted) for speed in figures])
    yield f"{len(figures)} speeds read off Figures 4 and 5, never fitted: {Errors.of(ratios)}"
    for speed, ratio in zip(figures, ratios, strict=True):
        read = f"read {speed.images_per_second:6.0f}, predicted {ratio - 1:+6.1%}"
        yield f"  {speed.name:24} {speed.load.side:4} {speed.load.phase:9} {read}"


def is_ours(speed: Speed) -> bool:
    """Whether a speed is a TResNet's, or a rung's of Table 4."""
    return MODELS.get(speed.name, speed.name) in (*OURS, *ablation_ladder())


def competitor_bias(
    speeds: list[Speed], figures: list[Speed], rules: Rules
) -> tuple[dict[str, float], Errors]:
    """By phase, the mean log error of Table 3's TResNets with constants fitted to competitors.

    Competitors are the networks of Tables 1 and 6 and the figures that are not the paper's own.
    With them, their own error when each is left out.
    """
    competitors = [speed for speed in (*speeds, *figures) if not is_ours(speed)]
    refit = partial(fit_paper, rules=rules)
    fitted, bias = refit(competitors), {}
    for phase in ("inference", "training"):
        logs = [
            np.log(predicted_over_measured(speed, fitted))
            for speed in speeds
            if speed.load.phase == phase and MODELS.get(speed.name) in OURS
        ]
        bias[phase] = float(np.expm1(np.mean(logs)))
    return bias, Errors.of(left_out(competitors, refit))


def competitor_lines(speeds: list[Speed], figures: list[Speed]) -> Iterator[str]:
    """The bias as a table over the choices that move it."""
    yield "Constants from competitors alone: how much too fast TResNets come out"
    heads = "left out: competitors of themselves; all 24 speeds"
    yield f"  {'assumed':42} {'inference':>9} {'training':>9}  {heads}"
    for name, rules in CHOICES.items():
        bias, own = competitor_bias(speeds, figures, rules)
        ends = " ".join(f"{bias[phase]:+9.1%}" for phase in ("inference", "training"))
        everything = Errors.of(left_out(speeds, partial(fit_paper, rules=rules)))
        yield f"  {name:42} {ends}  {own}; {everything}"

"""What the chapter on Table 4 counts, against counts of its own."""

from math import prod

import pandas as pd
import pytest
import torch
from torch import nn

from tresnet_lite import TResNet, ablation_ladder
from tresnet_lite.counting.trace import trace
from tresnet_lite.experiments import table4
from tresnet_lite.model import ConvNormAct


@pytest.fixture(scope="module")
def times() -> pd.DataFrame:
    return table4.rung_times().set_index("refinement")


def outputs_before_an_activation(refinement: str) -> int:
    """Numbers that the norms of a rung give to an activation of their own, per image."""
    with torch.device("meta"):
        calls = trace(TResNet(ablation_ladder()[refinement]), (3, 224, 224))
    units = [call for call in calls if isinstance(call.module, ConvNormAct)]
    return sum(prod(u.output) for u in units if not isinstance(u.module.act, nn.Identity))


def test_inplace_abn_saves_a_pass_over_the_maps_that_it_activates(times):
    """Read once and written once, of two bytes a number, at 900 GB/s; the step of 13 µs that Table
    4 prints is little more.
    """
    saved = 2 * 2 * outputs_before_an_activation("+ Block-type selection") / 900e9 * 1e6
    assert times.loc["+ Inplace-ABN", "least_step"] == pytest.approx(-saved, rel=1e-3)
    assert times.loc["+ Inplace-ABN", "printed_step"] == pytest.approx(1e6 / 3470 - 1e6 / 3320)


def test_the_least_times_add_up_and_lie_below_the_printed(times):
    kinds = [*dict.fromkeys(table4.KINDS.values()), table4.REST]
    assert times[kinds].sum(axis=1).to_list() == pytest.approx(times["least_time"].to_list())
    assert (times["least_time"] < times["printed_time"]).all()


def test_every_step_has_the_printed_direction(times):
    steps = times.dropna()
    assert len(steps) == 5 and (steps["least_step"] * steps["printed_step"] > 0).all()

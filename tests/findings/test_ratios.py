"""Ratios are taken within processes, and their intervals over them."""

import dataclasses
import math

import pytest
from planted import in_processes, speed
from scipy.stats import t, ttest_rel

from tresnet_lite.findings.ratios import SLACK, deviations, ratio_of, ratios
from tresnet_lite.records import Conditions


def both(fast=120.0, base=100.0, **options):
    names = {"space_to_depth": fast, "conv7x7": base}
    return [speed("stem", m, "inference", v, case="resnet50", **options) for m, v in names.items()]


def found(records, **where):
    return ratios(records, "space_to_depth", "conv7x7", **where)


def test_pairs_are_measured_alike():
    elsewhere = both(device="B")[:1]
    half = both(dtype="float32")[:1]
    small = both(resolution=64)[:1]
    (ratio,) = found([*both(), *elsewhere, *half, *small])
    assert ratio.value == pytest.approx(1.2)
    assert found(both(), phase="training") == []
    larger = both(130.0, batch=64, norm="native")[:1]
    (ratio,) = found([*larger, *both()], suite="stem")
    assert ratio.record == larger[0]  # of several batches the largest
    capped = both(150.0, memory_budget=2**34)
    assert [r.value for r in found([*both(), *capped])] == pytest.approx([1.2, 1.5])


def test_the_interval_is_students_over_processes():
    records = in_processes(both(), noise=0.01)
    (ratio,) = found(records)
    fast, base = (
        [math.log(r.value.median) for r in records if r.model == m]
        for m in ("space_to_depth", "conv7x7")
    )
    expected = ttest_rel(fast, base).confidence_interval(0.95)
    assert ratio.processes == 5
    assert (ratio.low, ratio.high) == pytest.approx(
        (math.exp(expected.low), math.exp(expected.high))
    )


def test_what_slows_a_whole_process_leaves_the_ratio_alone():
    """One process at half speed: the ratio stays, where medians of each network would move."""
    records = in_processes(both(), noise=1e-6)
    slow = [
        dataclasses.replace(
            r,
            value=dataclasses.replace(
                r.value, median=r.value.median / 2, q1=r.value.q1 / 2, q3=r.value.q3 / 2
            ),
        )
        if r.provenance.process == "3"
        else r
        for r in records
    ]
    (ratio,) = found(slow)
    assert ratio.value == pytest.approx(1.2, rel=1e-4) and ratio.high / ratio.low < 1.001


def test_the_interval_covers_the_true_ratio_as_often_as_it_says():
    hits, runs = 0, 400
    for run in range(runs):
        records = in_processes(both(120.0 + 1e-9 * run), noise=0.02 + 1e-6 * run, seed=run)
        (ratio,) = found(records)
        hits += ratio.low <= 1.2 <= ratio.high
    # 95 % of 400 with a standard deviation of 1.1 %
    assert 0.91 <= hits / runs <= 0.985


@pytest.mark.parametrize("processes", [0, 1, 2])
def test_fewer_than_three_processes_get_what_processes_were_seen_to_differ_by(processes):
    records = in_processes(both(), noise=1e-6, processes=processes) or both()
    (ratio,) = found(records)
    assert ratio.processes == processes
    ends = (ratio.high / ratio.value, ratio.value / ratio.low)
    assert ends == pytest.approx((SLACK, SLACK))


def test_the_pair_that_most_processes_timed_counts_before_larger_batches():
    larger = both(200.0, batch=256)
    (ratio,) = found([*in_processes(both(), noise=1e-6), *larger])
    assert ratio.value == pytest.approx(1.2, rel=1e-4)
    assert ratio.record.conditions == Conditions(32, 224, "float16")


def test_processes_that_timed_one_of_the_two_do_not_count():
    records = in_processes(both(), noise=0.01)
    without = [r for r in records if (r.provenance.process, r.model) != ("2", "conv7x7")]
    fast, base = ([r for r in without if r.model == m] for m in ("space_to_depth", "conv7x7"))
    ratio = ratio_of(fast, base)
    assert ratio.processes == 4
    logs = [
        math.log(a.value.median / b.value.median)
        for a, b in zip([r for r in fast if r.provenance.process != "2"], base, strict=True)
    ]
    mean = sum(logs) / 4
    sd = math.sqrt(sum((x - mean) ** 2 for x in logs) / 3)
    assert math.log(ratio.high / ratio.value) == pytest.approx(t.ppf(0.975, 3) * sd / 2)


def test_processes_that_share_no_base_have_no_deviation():
    """As where a network joined a comparison later: its processes are others."""
    first, later = in_processes(both()[1:], noise=0.01), in_processes(both()[:1], noise=0.01)
    later = [
        dataclasses.replace(r, provenance=dataclasses.replace(r.provenance, process=f"{k + 10}"))
        for k, r in enumerate(later)
    ]
    assert deviations([*first, *later]).empty
    together = deviations(in_processes(both(), noise=0.01))
    assert len(together) == 5 and together["percent"].sum() == pytest.approx(0, abs=1e-9)

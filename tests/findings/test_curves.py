"""Fronts against a sweep, heights above a curve against straight lines that are known."""

import math

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tresnet_lite.findings.curves import above, family, front, heights

POINTS = st.lists(st.tuples(st.integers(1, 9), st.integers(70, 79)), min_size=1, max_size=8)


@given(POINTS)
def test_front_is_what_a_sweep_from_the_fastest_finds(points):
    kept, best = set(), -math.inf
    for speed, top1 in sorted(set(points), key=lambda p: (-p[0], -p[1])):
        if top1 > best:
            kept.add((speed, top1))
            best = top1
    found = front(*zip(*points, strict=True))
    assert {p for p, on in zip(points, found, strict=True) if on} == kept


def line(speed: float) -> float:
    """A curve that is straight over the logarithm: three points less for each factor of two."""
    return 80.0 - 3.0 * math.log2(speed)


CURVE = [(v, line(v)) for v in (1.0, 2.0, 8.0)]


@given(st.floats(1.0, 8.0), st.floats(-5.0, 5.0))
def test_within_the_curve_the_height_is_the_difference(speed, off):
    # Logarithm and interpolation err by a few units of the last place of 80, some 1e-14.
    assert above(speed, line(speed) + off, CURVE) == pytest.approx(off, abs=1e-12)


def test_beyond_its_ends_the_curve_is_read_with_care():
    # faster: no better than the fastest
    assert above(16.0, 72.0, CURVE) == pytest.approx(72.0 - line(8.0))
    # slower and less accurate: below for certain
    assert above(0.5, 79.0, CURVE) == pytest.approx(79.0 - line(1.0))
    assert math.isnan(above(0.5, 81.0, CURVE))  # slower and more accurate: nothing to compare with
    assert math.isnan(above(1.0, 80.0, [])) and math.isnan(above(math.nan, 80.0, CURVE))


def test_a_point_that_another_beats_is_not_on_the_curve():
    assert above(2.0, 77.0, [*CURVE, (1.9, 60.0)]) == above(2.0, 77.0, CURVE)


def test_families():
    assert [family(n) for n in ("TResNet-XL", "EfficientNet-B1", "ResNet50", "MixNet-L")] == [
        "TResNet",
        "EfficientNet",
        *["ResNet50 and others"] * 2,
    ]


def test_slack_makes_the_tresnets_slower():
    rows = [
        ("EfficientNet-B0", line(8.0), 8.0),
        ("EfficientNet-B1", line(1.0), 1.0),
    ]
    rows += [("TResNet-M", line(2.0) + 1, 2.0), ("TResNet-L", 79.0, math.nan)]
    lines = pd.DataFrame(rows, columns=["network", "top1", "speed"])
    plain, cautious = (
        heights(lines, slack=slack).set_index("network")["above"] for slack in (1.0, 1.5)
    )
    assert plain["TResNet-M"] == pytest.approx(1.0) and math.isnan(plain["TResNet-L"])
    assert cautious["TResNet-M"] == pytest.approx(line(2.0) + 1 - line(2.0 / 1.5))
    assert list(plain.index) == ["TResNet-M", "TResNet-L"]

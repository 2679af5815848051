"""The suites hold what the paper's tables hold, at its settings, and fit the time they promise."""

import json
from dataclasses import asdict, replace

import pytest
import torch

from tresnet_lite import ablation_ladder
from tresnet_lite.bench.suites import EFFICIENTNETS, GIB, SUITES, Point, points, rough_macs, select
from tresnet_lite.counting import count_macs
from tresnet_lite.counting.networks import build
from tresnet_lite.paper import NAMES, paper_table
from tresnet_lite.profiles import PROFILES

GPU = points(PROFILES["gpu"])
TIMM = {  # the paper's names in Table 1 → timm's
    "ResNet50-D": "resnet50d",
    "ResNeXt50": "resnext50_32x4d",
    "EfficientNetB1": "efficientnet_b1",
    "SEResNeXt50": "seresnext50_32x4d",
    "MixNet-L": "mixnet_l",
}
OURS = {printed: name for name, printed in NAMES.items()} | TIMM


def minutes(chosen: list[Point]) -> float:
    return sum(point.seconds for point in chosen) / 60


@pytest.mark.parametrize("table", [1, 3])
def test_each_row_of_a_table_has_its_point(table):
    measured = [p.model for p in select(GPU, [f"table{table}"])]
    assert sorted(measured) == sorted(OURS[row] for row in paper_table(table)["model"])


def test_table_4_has_a_point_for_each_rung():
    assert (
        {p.model for p in select(GPU, ["table4"])}
        == set(paper_table(4)["refinement"])
        == set(ablation_ladder())
    )


def test_table_5_has_a_point_for_each_model_and_resolution():
    rows = {(OURS[row.model], row.resolution) for row in paper_table(5).itertuples()}
    assert {(p.model, p.resolution) for p in select(GPU, ["table5"])} == rows


@pytest.mark.parametrize("figure", ["figure4", "figure5"])
def test_the_figures_compare_table_5_with_the_efficientnets(figure):
    shown = {(p.model, p.resolution) for p in select(GPU, [figure])}
    assert shown == {(p.model, p.resolution) for p in select(GPU, ["table5"])} | set(
        EFFICIENTNETS.items()
    )


def test_on_a_gpu_the_settings_are_the_papers():
    for p in select(GPU, ["table1", "table3", "table4", "table5", "figure4", "figure5"]):
        assert p.batch is None and p.largest and set(p.phases) == {"training", "inference"}
        assert (p.dtype, p.memory_format, p.compile, p.norm) == (
            "float16",
            "channels_first",
            "eager",
            None,
        )
        assert p.resolution == {"efficientnet_b1": 240}.get(p.model, p.resolution)
        assert p.memory_budget is None
    capped = select(points(PROFILES["gpu"], memory_budget=16 * GIB), ["table3"])
    assert {p.memory_budget for p in capped} == {16 * GIB} and all("16 GiB" in p.id for p in capped)


def test_on_a_cpu_the_batches_are_small_and_a_budget_stands_in_for_memory():
    for p in points(PROFILES["cpu"]):
        assert p.device == "cpu" and 1 <= p.batch <= 4
        assert (p.memory_budget == 16 * GIB) == p.largest
    assert all(
        p.largest
        for p in select(points(PROFILES["cpu"]), ["table3", "memory"])
        if p.resolution == 224
    )


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("quick", [True, False])
def test_no_point_is_there_twice_and_the_most_valuable_come_first(profile, quick):
    chosen = points(PROFILES[profile], quick=quick)
    assert len({p.id for p in chosen}) == len(chosen)
    assert [p.priority for p in chosen] == sorted(p.priority for p in chosen)
    assert "table3" in chosen[0].suites
    assert all(Point.from_dict(json.loads(json.dumps(asdict(p)))) == p for p in chosen)


def test_whatever_changes_the_measurement_changes_the_id():
    point = GPU[0]
    settings = {
        "batch": 8,
        "dtype": "bfloat16",
        "memory_format": "channels_last",
        "compile": "default",
        "norm": "bn",
    }
    settings |= {
        "memory": "min",
        "memory_budget": GIB,
        "resolution": 32,
        "model": "x",
        "measures": "stages",
    }
    settings |= {"phases": ("training",)}
    others = [replace(point, **{name: value}) for name, value in settings.items()]
    assert len({point.id, *(p.id for p in others)}) == len(settings) + 1
    assert replace(point, priority=9, seconds=1.0, suites=("table1",)).id == point.id


def test_the_promised_times():
    """A whole campaign on a fast GPU 25 minutes, a quick one 8; tables and figures on two cores
    15.
    """
    assert minutes(select(GPU, ["paper"])) < 25
    assert minutes(points(PROFILES["gpu"], quick=True)) < 8
    tables = [suite for suite in SUITES if suite.startswith(("table", "figure"))]
    assert minutes(select(points(PROFILES["cpu"]), tables)) < 15


@pytest.mark.parametrize("model", ["resnet50", "mixnet_l", "efficientnet_b3", "tresnet_l"])
def test_the_estimates_rest_on_what_is_counted(model):
    point = next(p for p in GPU if p.model == model)
    with torch.device("meta"):
        counted = count_macs(build(model), (3, point.resolution, point.resolution))
    assert rough_macs(point) == pytest.approx(counted, rel=0.05)


def test_a_selection_of_models():
    chosen = select(GPU, ["table1", "table3"], ["resnet50", "tresnet_xl"])
    assert [p.model for p in chosen] == ["resnet50", "tresnet_xl"]
    assert select(GPU, ["paper"]) == GPU


def test_what_is_not_there_is_named_with_what_is():
    with pytest.raises(ValueError, match="no suite table2: there are table1, .* and paper"):
        select(GPU, ["table2"])
    with pytest.raises(ValueError, match="no model resnet51: there are .*resnet50"):
        select(GPU, ["table1"], ["resnet51"])
    with pytest.raises(ValueError, match="without a batch the largest must be looked for"):
        replace(GPU[0], largest=False)
    with pytest.raises(ValueError, match="no such suite: table9"):
        replace(GPU[0], suites=("table9",))

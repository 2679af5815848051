"""The suites hold what the paper's tables hold, at its settings, and fit the time they promise."""

import json
from dataclasses import asdict, replace

import pytest
import torch

from tresnet_lite import ablation_ladder
from tresnet_lite.bench.comparisons import COMPARISONS, EFFICIENTNETS
from tresnet_lite.bench.suites import GIB, Point, points, rough_macs, select
from tresnet_lite.counting import count_macs
from tresnet_lite.counting.networks import build
from tresnet_lite.paper import NAMES, paper_table
from tresnet_lite.profiles import PROFILES
from tresnet_lite.records.records import MIN_REPEATS

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


def shown(suite: str) -> set[tuple[str, int]]:
    """The networks, with their resolutions, that some point of a suite measures the speed of."""
    networks = set()
    for p in select(GPU, [suite]):
        if p.measures == "speed":
            networks.add((p.model, p.resolution))
        else:
            compared = COMPARISONS[p.model]
            networks |= {
                (model, EFFICIENTNETS.get(model, p.resolution))
                for phase in p.phases
                for model in compared.in_(phase)
                if suite in compared.suites_of(model, phase)
            }
    return networks


@pytest.mark.parametrize("table", [1, 3])
def test_each_row_of_a_table_is_compared(table):
    rows = {OURS[row] for row in paper_table(table)["model"]}
    assert {model for model, _ in shown(f"table{table}")} == rows
    assert rows <= set(COMPARISONS["tables/all"].models)


def test_table_4_compares_each_rung():
    rungs = set(paper_table(4)["refinement"])
    assert {model for model, _ in shown("table4")} == rungs == set(ablation_ladder())


def test_table_5_has_each_model_and_resolution():
    rows = {(OURS[row.model], row.resolution) for row in paper_table(5).itertuples()}
    assert shown("table5") == rows


@pytest.mark.parametrize("figure", ["figure4", "figure5"])
def test_the_figures_compare_table_5_with_the_efficientnets(figure):
    assert shown(figure) == shown("table5") | set(EFFICIENTNETS.items())


def test_on_a_gpu_the_settings_are_the_papers():
    tables = select(GPU, ["table1", "table3", "table4", "table5", "figure4", "figure5"])
    for p in tables:
        ran = (p.dtype, p.memory_format, p.compile, p.norm)
        assert ran == ("float16", "channels_first", "eager", None)
        assert set(p.phases) == {"training", "inference"} and p.memory_budget is None
    assert {p.model for p in tables if p.largest} == {OURS[m] for m in paper_table(3)["model"]}
    assert all(p.batch is None for p in tables if p.largest)
    capped = select(points(PROFILES["gpu"], memory_budget=16 * GIB), ["table3"])
    budgets = {p.memory_budget: "16 GiB" in p.id for p in capped if p.largest}
    assert budgets == {16 * GIB: True}


def test_on_a_cpu_the_batches_are_small_and_a_budget_stands_in_for_memory():
    for p in points(PROFILES["cpu"]):
        assert p.device == "cpu" and 1 <= p.batch <= 4
        assert (p.memory_budget == 16 * GIB) == p.largest
    largest = {p.model for p in points(PROFILES["cpu"]) if p.largest}
    assert largest == {"resnet50", "tresnet_m", "tresnet_l", "tresnet_xl"}


@pytest.mark.parametrize("profile", ["cpu", "gpu"])
def test_every_comparison_is_measured_once_before_any_a_second_time(profile):
    processes = [p.process for p in points(PROFILES[profile]) if p.measures == "comparison"]
    assert processes == sorted(processes)
    names = [p.model for p in points(PROFILES[profile]) if p.process == 1]
    assert len(set(names)) == len(names)
    fewer = {"cpu": {"blocks/every mix", "tables/all"}, "gpu": {"blocks/every mix"}}[profile]
    last = PROFILES[profile].processes
    assert last >= MIN_REPEATS  # fewer give a ratio no interval
    again = {p.model for p in points(PROFILES[profile]) if p.process == last}
    assert again == set(names) - fewer


def test_a_smoke_run_has_the_time_for_each_of_its_comparisons():
    """What may take longer than a chapter's campaign is never begun."""
    smoke = PROFILES["smoke"]
    estimates = {p.model: p.seconds for p in points(smoke) if p.process}
    assert estimates and max(estimates.values()) <= 60 * smoke.minutes, estimates


def test_every_comparison_builds_what_it_times():
    for name, comparison in COMPARISONS.items():
        with torch.device("meta"):
            built = comparison.build(8)
        assert set(comparison.models) <= set(built), name


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("quick", [True, False])
def test_no_point_is_there_twice_and_the_most_valuable_come_first(profile, quick):
    chosen = points(PROFILES[profile], quick=quick)
    assert len({p.id for p in chosen}) == len(chosen)
    assert [p.priority for p in chosen] == sorted(p.priority for p in chosen)
    assert {"table3", "table4"} & set(chosen[0].suites)
    assert all(Point.from_dict(json.loads(json.dumps(asdict(p)))) == p for p in chosen)


def test_whatever_changes_the_measurement_changes_the_id():
    point = next(p for p in GPU if p.largest)
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
    settings |= {"phases": ("training",), "process": 2, "width": 8}
    others = [replace(point, **{name: value}) for name, value in settings.items()]
    assert len({point.id, *(p.id for p in others)}) == len(settings) + 1
    assert replace(point, priority=9, seconds=1.0, suites=("table1",)).id == point.id


def test_the_promised_times():
    """A whole campaign on a GPU 45 minutes, each comparison once 10; on two cores all in 60."""
    assert minutes(select(GPU, ["paper"])) < 45
    assert minutes([p for p in GPU if p.process == 1]) < 10
    assert minutes([p for p in points(PROFILES["cpu"]) if p.process]) < 60


@pytest.mark.parametrize("model", ["resnet50", "tresnet_xl", "efficientnet_b3", "tresnet_l"])
def test_the_estimates_rest_on_what_is_counted(model):
    point = next(p for p in GPU if p.model == model)
    with torch.device("meta"):
        counted = count_macs(build(model), (3, point.resolution, point.resolution))
    assert rough_macs(point) == pytest.approx(counted, rel=0.05)


def test_a_selection_of_models():
    chosen = select(GPU, ["table1", "table3"], ["resnet50", "tresnet_xl"])
    assert {p.model for p in chosen} == {"resnet50", "tresnet_xl"}
    assert {p.model for p in select(GPU, ["stem"], ["stem/alone"])} == {"stem/alone"}
    assert select(GPU, ["paper"]) == GPU


def test_what_is_not_there_is_named_with_what_is():
    with pytest.raises(ValueError, match="no suite table2: there are table1, .* and paper"):
        select(GPU, ["table2"])
    with pytest.raises(ValueError, match="no model resnet51: there are .*resnet50"):
        select(GPU, ["table1"], ["resnet51"])
    with pytest.raises(ValueError, match="without a batch the largest must be looked for"):
        replace(next(p for p in GPU if p.largest), largest=False)
    with pytest.raises(ValueError, match="no such suite: table9"):
        replace(GPU[0], suites=("table9",))

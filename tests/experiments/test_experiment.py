"""The shape that most chapters share, on planted records and a simulated clock."""

import math

import pytest
import torch
from planted import one, speed
from torch import nn

from tresnet_lite.bench import Timing
from tresnet_lite.experiments import antialias, blocks, inplace_abn, stems
from tresnet_lite.experiments import squeeze_excite as se
from tresnet_lite.experiments.experiment import Experiment, by_phase, speed_ratios
from tresnet_lite.paper import paper_value
from tresnet_lite.profiles import Profile
from tresnet_lite.show import notebook

QUICK = Profile("smoke", "cpu", 32, 2, "float32", repeats=3, min_block=0.02, max_seconds=0.2)
DECLARED = {
    "stems alone": stems.ALONE,
    "stems in ResNet50": stems.IN_RESNET50,
    "anti-aliasing": antialias.EXPERIMENT,
    "mixes of blocks": blocks.mix_experiment(),
    "SE in stages": se.IN_STAGES,
    "SE in a block": se.IN_BLOCK,
    "memory settings": inplace_abn.MEMORY,
    "activation": inplace_abn.ACTIVATION,
}


def line(model, phase, median, **options):
    return speed("test", model, phase, median, case="small", **options)


def classifiers(width: int) -> dict[str, nn.Module]:
    """Two that differ in nothing but their names."""
    layers = (nn.Conv2d(3, width, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return {name: nn.Sequential(*layers) for name in ("a", "b")}


SMALL = Experiment("test", "small", {"a": "A", "b": "B"}, base="b", build=classifiers)


@pytest.fixture
def clock(monkeypatch):
    """Each function runs once and takes half a second more than the one before it."""

    def measure_many(functions, **_):
        for function in functions.values():
            function()
        return {name: Timing((i / 2,) * 3, calls=1) for i, name in enumerate(functions, 1)}

    monkeypatch.setattr("tresnet_lite.bench.compare.measure_many", measure_many)


def test_all_networks_are_timed_in_both_phases(clock):
    records = SMALL.measure(QUICK)
    assert [(r.suite, r.case, r.model, r.phase) for r in records] == [
        ("test", "small", model, phase) for phase in ("inference", "training") for model in "ab"
    ]
    table = SMALL.speeds(records)
    assert table["ratio"].tolist() == [2, 1, 2, 1] and table["name"].tolist() == [*"ABAB"]


def test_less_is_timed_where_it_says_so_and_peaks_are_of_what_trains(clock):
    few = {"inference": ("a", "b"), "training": ("b",)}
    experiment = Experiment(
        "test", "small", SMALL.labels, "b", classifiers, timed=few, with_peaks=True
    )
    records = experiment.measure(QUICK)
    assert [(r.model, r.phase, r.metric) for r in records] == [
        ("a", "inference", "throughput"),
        ("b", "inference", "throughput"),
        ("b", "training", "throughput"),
        ("b", "training", "peak_memory"),
    ]
    (peak,) = experiment.peaks(records).itertuples()
    assert peak.peak == records[-1].value.median / 1e6 == QUICK.batch * peak.peak_per_image
    assert (peak.name, peak.ratio) == ("B", 1)


def test_inputs_are_made_for_the_phase(clock):
    seen = []

    def maps(profile: Profile, phase: str) -> torch.Tensor:
        seen.append(phase)
        return torch.ones(profile.batch, 5, 4, 4)

    options = {"inputs": maps, "loss": torch.mean}
    experiment = Experiment(
        "test", "small", {"a": "A"}, "a", lambda width: {"a": nn.Conv2d(5, width, 1)}, **options
    )
    assert len(experiment.measure(QUICK)) == 2 and seen == ["inference", "training"]


def test_a_ratio_is_to_the_base_of_the_same_phase():
    records = [line("a", "inference", 30.0, spread=0.1), line("b", "inference", 20.0)]
    records += [line("a", "training", 5.0), line("b", "training", 10.0)]
    other = speed("test", "a", "inference", 1.0, case="other")
    table = speed_ratios([*records, other], suite="test", case="small", base="b")
    assert table["ratio"].tolist() == [1.5, 1, 0.5, 1] and (table["label"] != "").all()
    first = table.iloc[0]
    assert (first.ratio_q1, first.ratio_q3) == pytest.approx((1.35, 1.65))
    assert first.quartiles == pytest.approx((27, 33))


def test_quartiles_have_as_many_digits_as_the_slowest_needs():
    records = [line("a", "inference", 3000.0, spread=0.1), line("b", "inference", 200.0)]
    shown = notebook.table(SMALL.speeds(records), "name", "measured", "quartiles").text
    assert shown.splitlines()[2:] == ["| A | 3,000 | 2,700–3,300 |", "| B | 200 | 200–200 |"]


def test_phases_stand_beside_each_other():
    records = [line("b", "inference", 20.0), line("a", "inference", 30.0, spread=0.1)]
    records.append(line("b", "training", 4.0))
    wide = by_phase(SMALL.speeds(records))
    assert wide.loc["a", "inference_ratio"] == 1.5 and math.isnan(wide.loc["a", "training"])
    assert wide.loc["a", "inference_q1"] == pytest.approx(1.35)
    assert wide["training"].dtype == float and wide.loc["b", "training_quartiles"] == (4, 4)


def test_every_run_has_its_own_lines():
    records = [line(model, "inference", v) for model, v in (("a", 30.0), ("b", 20.0))]
    slower = {"device": "Other GPU"}
    records += [line("a", "inference", 1.0, **slower), line("b", "inference", 2.0, **slower)]
    table = SMALL.every_run(records)
    assert table.query("model == 'a' and phase == 'inference'")["ratio"].tolist() == [1.5, 0.5]
    assert one(table, model="a", phase="training").label == "not attempted (no records)"


@pytest.mark.parametrize("name", DECLARED)
def test_what_chapters_declare_fits_together(name):
    """What is timed, or printed, has a name; every printed cell exists."""
    experiment = DECLARED[name]
    timed = experiment.timed or {}
    names = set(experiment.labels)
    assert experiment.base in names and set(experiment.printed) <= names
    assert all(set(some) <= names for some in timed.values())
    for model in experiment.printed:
        assert experiment.paper_speed(model, "inference") > 0
    assert math.isnan(experiment.paper_speed("another", "inference"))


@pytest.mark.parametrize("name", [name for name in DECLARED if name != "mixes of blocks"])
def test_what_chapters_build_is_what_they_name(name):
    with torch.device("meta"):
        built = DECLARED[name].build(8)
    assert list(built) == list(DECLARED[name].labels)


def test_speeds_are_the_papers():
    assert stems.IN_RESNET50.paper_speed("resnet50_d", "training") == 600
    after = paper_value(4, "inference_img_s", refinement="+ Stem → SpaceToDepth")
    assert stems.IN_RESNET50.paper_speed("space_to_depth", "inference") == after
    # Table 4 has no training
    assert math.isnan(stems.IN_RESNET50.paper_speed("space_to_depth", "training"))

"""The shape that most chapters share, on planted records and a simulated clock."""

import dataclasses
import math

import pytest
import torch
from planted import one, speed
from torch import nn

from tresnet_lite.bench import Timing
from tresnet_lite.bench import compare as bench_compare
from tresnet_lite.bench.compare import measure_comparison
from tresnet_lite.bench.comparisons import COMPARISONS, Comparison, both
from tresnet_lite.experiments import antialias, blocks, inplace_abn, stems
from tresnet_lite.experiments import squeeze_excite as se
from tresnet_lite.experiments.experiment import Experiment, by_phase, speed_ratios
from tresnet_lite.paper import paper_value
from tresnet_lite.profiles import Profile
from tresnet_lite.records import load, store
from tresnet_lite.show import notebook

QUICK = Profile("smoke", "cpu", 32, 2, "float32", repeats=3, min_block=0.02, max_seconds=0.2)
DECLARED = {
    "stems alone": stems.ALONE,
    "stems in ResNet50": stems.IN_RESNET50,
    "anti-aliasing": antialias.EXPERIMENT,
    "mixes of blocks": blocks.mix_experiment(),
    "every mix": blocks.EVERY_MIX,
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


SMALL = Experiment("test", "small", {"a": "A", "b": "B"}, base="b")


@pytest.fixture
def clock(monkeypatch):
    """Each function runs once and takes half a second more than the one before it."""

    def measure_many(functions, **_):
        for function in functions.values():
            function()
        return {name: Timing((i / 2,) * 3, calls=1) for i, name in enumerate(functions, 1)}

    monkeypatch.setattr("tresnet_lite.bench.compare.measure_many", measure_many)


def test_all_networks_are_timed_in_both_phases(clock):
    comparison = Comparison("test", "small", classifiers, both("a", "b"))
    records = list(measure_comparison(comparison, QUICK))
    assert [(r.suite, r.case, r.model, r.phase) for r in records] == [
        ("test", "small", model, phase) for phase in ("training", "inference") for model in "ab"
    ]
    table = SMALL.speeds(records)
    assert table["ratio"].tolist() == pytest.approx([2, 1, 2, 1])
    assert table["name"].tolist() == [*"ABAB"] and set(table["processes"]) == {1}


def test_less_is_timed_where_it_says_so_and_peaks_are_of_what_trains(clock):
    few = {"inference": ("a", "b"), "training": ("b",)}
    comparison = Comparison("test", "small", classifiers, few, peaks=True)
    records = list(measure_comparison(comparison, QUICK))
    assert [(r.model, r.phase, r.metric) for r in records] == [
        ("b", "training", "throughput"),
        ("a", "inference", "throughput"),
        ("b", "inference", "throughput"),
        ("b", "training", "peak_memory"),
    ]
    (peak,) = SMALL.peaks(records).itertuples()
    assert peak.peak == records[-1].value.median / 1e6 == QUICK.batch * peak.peak_per_image
    assert (peak.name, peak.ratio) == ("B", 1)


def test_inputs_are_made_for_the_phase(clock):
    seen = []

    def maps(batch: int, side: int, phase: str) -> torch.Tensor:
        seen.append((batch, side, phase))
        return torch.ones(batch, 5, 4, 4)

    comparison = Comparison(
        "test",
        "small",
        lambda width: {"a": nn.Conv2d(5, width, 1)},
        both("a"),
        inputs=maps,
        loss=torch.mean,
    )
    assert len(list(measure_comparison(comparison, QUICK))) == 2
    assert seen == [(2, 32, "training"), (2, 32, "inference")]


def test_a_batch_that_does_not_fit_is_halved_for_all(monkeypatch):
    def small_device(models, profile, **_):
        if profile.batch > 8:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return [line(name, "training", 1.0, batch=profile.batch) for name in models]

    monkeypatch.setattr(bench_compare, "compare", small_device)
    comparison = Comparison("test", "small", classifiers, both("a", "b"))
    records = list(measure_comparison(comparison, dataclasses.replace(QUICK, batch=32)))
    assert {r.conditions.batch for r in records} == {8} and len(records) == 4
    with pytest.raises(torch.OutOfMemoryError):
        monkeypatch.setattr(bench_compare, "compare", _never_fits)
        list(measure_comparison(comparison, QUICK))


def _never_fits(models, profile, **_):
    raise torch.OutOfMemoryError("CUDA out of memory")


def test_a_chapter_measures_what_its_file_lacks(monkeypatch, tmp_path, capsys):
    """All of a comparison's processes; a second call finds them, and starts none."""
    monkeypatch.setenv(store.VARIABLE, str(tmp_path / "records.jsonl"))
    experiment = Experiment("se", "block", se.PLACE_LABELS, base="none")
    profile = dataclasses.replace(QUICK, max_seconds=0.02, min_block=0.001, processes=3)
    records = experiment.measure(profile)
    assert len({r.provenance.process for r in records}) == 3
    assert len({r.provenance.run for r in records}) == 1
    speeds = experiment.speeds(records)
    assert set(speeds["processes"]) == {3} and len(speeds) == 6
    assert experiment.measure(profile) == records
    assert "3 points, 3 of them measured before" in capsys.readouterr().out
    store.keep(records, profile)  # a campaign's records are in the file already
    assert len(load(tmp_path / "records.jsonl")) == len(records)


def test_a_ratio_is_to_the_base_of_the_same_phase():
    records = [line("a", "inference", 30.0, spread=0.1), line("b", "inference", 20.0)]
    records += [line("a", "training", 5.0), line("b", "training", 10.0)]
    other = speed("test", "a", "inference", 1.0, case="other")
    table = speed_ratios([*records, other], suite="test", case="small", base="b")
    assert (
        table["ratio"].tolist() == pytest.approx([1.5, 1, 0.5, 1]) and (table["label"] != "").all()
    )
    first = table.iloc[0]
    assert (first.ratio_low, first.ratio_high) == pytest.approx((1.5 / 1.35, 1.5 * 1.35))
    assert first.quartiles == pytest.approx((27, 33))


def test_quartiles_have_as_many_digits_as_the_slowest_needs():
    records = [line("a", "inference", 3000.0, spread=0.1), line("b", "inference", 200.0)]
    shown = notebook.table(SMALL.speeds(records), "name", "measured", "quartiles").text
    assert shown.splitlines()[2:] == ["| A | 3,000 | 2,700–3,300 |", "| B | 200 | 200–200 |"]


def test_phases_stand_beside_each_other():
    records = [line("b", "inference", 20.0), line("a", "inference", 30.0, spread=0.1)]
    records.append(line("b", "training", 4.0))
    wide = by_phase(SMALL.speeds(records))
    assert wide.loc["a", "inference_ratio"] == pytest.approx(1.5) and math.isnan(
        wide.loc["a", "training"]
    )
    assert wide.loc["a", "inference_low"] == pytest.approx(1.5 / 1.35)
    assert wide["training"].dtype == float and wide.loc["b", "training_quartiles"] == (4, 4)


def test_every_run_has_its_own_lines():
    records = [line(model, "inference", v) for model, v in (("a", 30.0), ("b", 20.0))]
    slower = {"device": "Other GPU"}
    records += [line("a", "inference", 1.0, **slower), line("b", "inference", 2.0, **slower)]
    table = SMALL.every_run(records)
    assert table.query("model == 'a' and phase == 'inference'")["ratio"].tolist() == pytest.approx(
        [1.5, 0.5]
    )
    assert one(table, model="a", phase="training").label == "not attempted (no records)"


@pytest.mark.parametrize("name", DECLARED)
def test_what_chapters_declare_fits_together(name):
    """What is timed, or printed, has a name; every printed cell exists."""
    experiment = DECLARED[name]
    names = set(experiment.labels)
    assert experiment.base in names and set(experiment.printed) <= names
    compared = COMPARISONS[experiment.name]
    assert (compared.suite, compared.case) == (experiment.suite, experiment.case)
    assert set(compared.models) == names
    for model in experiment.printed:
        assert experiment.paper_speed(model, "inference") > 0
    assert math.isnan(experiment.paper_speed("another", "inference"))


def test_speeds_are_the_papers():
    assert stems.IN_RESNET50.paper_speed("resnet50_d", "training") == 600
    after = paper_value(4, "inference_img_s", refinement="+ Stem → SpaceToDepth")
    assert stems.IN_RESNET50.paper_speed("space_to_depth", "inference") == after
    # Table 4 has no training
    assert math.isnan(stems.IN_RESNET50.paper_speed("space_to_depth", "training"))

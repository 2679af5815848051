"""Tables of the paper beside records, and claims about whole tables; the planted records are of no
real device.
"""

import dataclasses
import math
import statistics

import pytest
import timm
import torch
from helpers import PROVENANCE
from planted import in_processes, one, speed

from tresnet_lite import create_model, profiles
from tresnet_lite.bench import campaign, compare, suites
from tresnet_lite.bench.comparisons import COMPARISONS, EFFICIENTNETS, TABLE1
from tresnet_lite.claims.ledger import CHECKS
from tresnet_lite.counting import count_parameters
from tresnet_lite.experiments import campaigns, table1, table3, table4, table5
from tresnet_lite.findings import tables
from tresnet_lite.findings.accuracy import beside_paper
from tresnet_lite.paper import MODELS, paper_table, paper_value
from tresnet_lite.records import Failure, Record, append, store, text
from tresnet_lite.show import table1 as table1_drawings
from tresnet_lite.show import table3 as table3_drawings
from tresnet_lite.show import table4 as table4_drawings
from tresnet_lite.show import table5 as table5_drawings
from tresnet_lite.show.html import Html, table
from tresnet_lite.show.runs import SPEEDS, accuracy_table, each_run, runs_table

TABLES = {1: tables.table1, 3: tables.table3, 4: tables.table4, 5: tables.table5}
GIB = 2**30


def rungs(speeds, phase="inference", **options) -> list[Record]:
    """A run of the ladder at these speeds."""
    names = paper_table(4)["refinement"]
    return [
        speed("table4", n, phase, v, case="ladder", **options)
        for n, v in zip(names, speeds, strict=True)
    ]


@pytest.mark.parametrize("number", TABLES)
def test_without_records_the_paper_stands_alone_and_says_why(number):
    frame = TABLES[number]([])
    assert set(frame["source"]) == {"not attempted"} and frame["measured"].isna().all()
    assert frame["run"].nunique() == 1 and f"bench run table{number}" in frame["run"].iloc[0]
    assert not frame.duplicated(["network", "resolution", "phase"]).any()


@pytest.mark.parametrize(
    ("number", "phase", "column"),
    [(1, "training", "training_img_s"), (3, "inference", "inference_img_s")],
)
def test_every_printed_number_is_there(number, phase, column):
    lines = TABLES[number]([]).query("phase == @phase")
    assert lines["paper"].tolist() == paper_table(number)[column].tolist()
    assert (
        lines["paper_ratio"].tolist()
        == (paper_table(number)[column] / paper_table(number)[column][0]).tolist()
    )


def test_the_paper_prints_no_training_in_table_4_and_no_speed_at_448_px():
    assert tables.table4([]).query("phase == 'training'")["paper"].isna().all()
    assert tables.table5([]).query("resolution == 448")["paper"].isna().all()
    at_224 = one(tables.table5([]), network="TResNet-L", resolution=224, phase="training")
    assert at_224.paper == paper_value(3, "training_img_s", model="TResNet-L")


def test_the_suites_measure_what_the_tables_show():
    """Every line has a point that measures it, under the names and sizes that the table expects."""
    points = suites.points(profiles.PROFILES["gpu"])
    compared = [
        (model, suite, EFFICIENTNETS.get(model, 224))
        for p in points
        if p.measures == "comparison" and p.case in ("networks", "ladder")
        for model in COMPARISONS[p.model].models
        for phase in p.phases
        for suite in COMPARISONS[p.model].suites_of(model, phase)
    ]
    for number, cases in ((1, "networks"), (3, "networks"), (4, "ladder"), (5, "networks")):
        have = {
            (p.model, p.resolution)
            for p in points
            if f"table{number}" in p.suites and p.case == cases and p.measures == "speed"
        } | {(model, side) for model, suite, side in compared if suite == f"table{number}"}
        names = MODELS | {n: n for n in paper_table(4)["refinement"]}
        frame = TABLES[number]([])
        assert have == {(names[line.network], line.resolution) for line in frame.itertuples()}


@pytest.mark.parametrize("image_size", [64, 128, 224, 320])
def test_side_is_the_resolution_that_a_campaign_takes(image_size, monkeypatch):
    profile = profiles.resolve("cpu", image_size=image_size)
    points = {p.model: p for p in suites.points(profile) if p.measures == "speed"}
    for model, resolution in EFFICIENTNETS.items():
        if model in points:  # B1 is compared, below
            assert points[model].resolution == tables.side(resolution, image_size)
    seen = {}
    monkeypatch.setattr(compare, "compare", lambda *_, sides, **__: seen.update(sides) or [])
    all_tables = COMPARISONS["tables/all"]
    unbuilt = dataclasses.replace(all_tables, build=lambda width: dict.fromkeys(all_tables.models))
    assert list(compare.measure_comparison(unbuilt, profile)) == []
    expected = {m: tables.side(EFFICIENTNETS.get(m, 224), image_size) for m in all_tables.models}
    assert seen == expected


def test_a_line_is_measured_beside_its_base():
    records = [
        speed("table3", "resnet50", "training", 200.0),
        speed("table3", "tresnet_m", "training", 150.0),
    ]
    line = one(tables.table3(records), network="TResNet-M", phase="training")
    assert (line.measured, line.batch, line.source) == (150.0, 32, "measured")
    # of two processes, as nobody says that it was one
    assert (line.ratio, line.processes) == (pytest.approx(0.75), 0)
    assert (line.ratio_low, line.ratio_high) == pytest.approx((0.75 / 1.35, 0.75 * 1.35))
    timed = one(tables.table3(in_processes(records)), network="TResNet-M", phase="training")
    assert timed.processes == 5 and 0.74 < timed.ratio_low < timed.ratio < timed.ratio_high < 0.76
    assert (
        line.run
        == "measured (Imaginary GPU, 2026-01-02, abcdef12); 224 px, float16, channels first, eager"
    )
    assert (
        one(tables.table3(records), network="TResNet-L", phase="training").source == "not attempted"
    )


def test_without_its_base_a_line_has_no_ratio():
    line = one(
        tables.table3([speed("table3", "tresnet_m", "training", 150.0)]),
        network="TResNet-M",
        phase="training",
    )
    assert line.measured == 150.0 and math.isnan(line.ratio)


def test_devices_and_ways_of_running_are_never_mixed():
    ways = [
        {},
        {"device": "Other GPU"},
        {"dtype": "float32"},
        {"memory_format": "channels_last"},
        {"memory_budget": GIB},
    ]
    records = [
        speed("table3", "resnet50", "training", 100.0 + i, **way) for i, way in enumerate(ways)
    ]
    records += [
        speed("table3", "tresnet_m", "training", 50.0 * (1 + i), **way)
        for i, way in enumerate(ways)
    ]
    lines = tables.table3(records).query("network == 'TResNet-M' and phase == 'training'")
    assert lines["ratio"].tolist() == [50.0 * (1 + i) / (100.0 + i) for i in range(5)]
    assert lines["run"].nunique() == 5


def test_records_of_other_suites_and_cases_do_not_count():
    records = [
        speed("table1", "resnet50", "training", 1.0),
        speed("table3", "resnet50", "training", 1.0, case="exercise"),
    ]
    assert tables.table3(records)["measured"].isna().all()


def test_of_several_batches_the_largest_counts():
    records = [
        speed("table3", "resnet50", "training", v, batch=b)
        for b, v in ((128, 10.0), (300, 12.0), (64, 9.0))
    ]
    line = one(tables.table3(records), network="ResNet50", phase="training")
    assert (line.measured, line.batch) == (12.0, 300)


def test_efficientnet_belongs_to_the_run_of_224_px_images():
    records = [
        speed("table1", model, "training", 1.0, resolution=size)
        for model, size in (("efficientnet_b1", 240), ("resnet50", 224))
    ]
    frame = tables.table1(records).query("measured == measured and phase == 'training'")
    assert frame["run"].nunique() == 1 and set(frame["network"]) == {"ResNet50", "EfficientNetB1"}
    assert set(frame["side"]) == {224}


def test_the_larger_images_of_table_5_are_no_run_of_their_own():
    for small, large in ((224, 448), (64, 128)):
        records = [
            speed("table5", "tresnet_m", "inference", v, resolution=s)
            for s, v in ((large, 3.0), (small, 10.0))
        ]
        frame = tables.table5(records)
        assert set(frame["side"]) == {small}
        assert one(frame, network="TResNet-M", resolution=448, phase="inference").ratio == 0.3
        assert ("too small" in frame["run"].iloc[0]) == (small < 224)


def test_a_counted_batch_is_called_counted():
    """On a CPU the speeds have no budget of memory and the largest batch has one; it is not
    measured, either.
    """
    ran = {"metric": "largest_batch", "memory_budget": 16 * GIB}
    largest = speed("table3", "resnet50", "training", 190, **ran)
    records = [
        speed("table3", "resnet50", "training", 9.0),
        dataclasses.replace(largest, counted=True),
    ]
    line = one(tables.table3(records), network="ResNet50", phase=tables.LARGEST_BATCH)
    assert (line.measured, line.source) == (190, "counted")


def test_a_largest_batch_is_taken_from_the_runs_own_budget():
    records = []
    for budget, batch in ((16 * GIB, 250), (None, 2000)):
        ran = {"memory_budget": budget}
        records.append(speed("table3", "resnet50", "training", 9.0, **ran))
        records.append(
            speed("table3", "resnet50", "training", batch, metric="largest_batch", **ran)
        )
    found = tables.table3(records).query("network == 'ResNet50' and phase == @tables.LARGEST_BATCH")
    told = {
        "16 GiB" in run: batch for run, batch in zip(found["run"], found["measured"], strict=True)
    }
    assert told == {True: 250, False: 2000}


def test_what_failed_says_why():
    records = [speed("table3", "resnet50", "training", 9.0)]
    here = dataclasses.replace(PROVENANCE, device="Imaginary GPU")
    failure = Failure(
        "table3",
        "networks",
        "tresnet_xl",
        "training",
        "out of memory",
        "no room",
        "tresnet_xl, 224 px, x",
        here,
    )
    frame = tables.table3(records, [failure])
    assert (
        one(frame, network="TResNet-XL", phase="training").source
        == "failed: out of memory, no room"
    )
    assert one(frame, network="TResNet-XL", phase="inference").source == "not attempted"
    elsewhere = dataclasses.replace(
        failure, provenance=dataclasses.replace(here, device="Other GPU")
    )
    assert (
        one(tables.table3(records, [elsewhere]), network="TResNet-XL", phase="training").source
        == "not attempted"
    )


def test_each_run_is_shown_with_its_source(monkeypatch):
    monkeypatch.setattr(text, "check_text", lambda field, text: None)  # refuses a "<"
    records = [speed("table3", "resnet50", "training", 9.0, device=d) for d in ("GPU <A>", "GPU B")]
    frame = tables.table3(records)
    drawn = each_run(frame, lambda part: Html(f"<b>{len(part)}</b>", f"{len(part)} lines"))
    assert drawn.text.count("12 lines") == 2 and "GPU <A>" in drawn.text
    assert drawn.html.count("<b>12</b>") == 2 and "GPU &lt;A&gt;" in drawn.html
    lines = runs_table(frame, *SPEEDS)
    assert (
        "| ResNet50 | training | 805 | 9.00 | 9.00–9.00 | 1.000 | 1.000 | measured |" in lines.text
    )
    assert "not attempted" in lines.text
    assert "no records" in each_run(frame.iloc[:0], table).text


def test_measured_lines_need_no_column_that_says_so():
    records = [
        speed("table4", n, p, 1.0, case="ladder")
        for n in paper_table(4)["refinement"]
        for p in tables.PHASES
    ]
    assert "source" not in runs_table(tables.table4(records), *SPEEDS).text


def test_a_chapter_takes_what_was_measured_before(tmp_path, monkeypatch, capsys):
    """With all of a suite's points in the file, nothing is run."""
    monkeypatch.setenv("TRESNET_LITE_RECORDS", str(tmp_path / "smoke.jsonl"))
    # The committed records may be of this device.
    monkeypatch.setattr(store, "COMMITTED", tmp_path / "measured")
    store.COMMITTED.mkdir()
    profile = profiles.resolve("smoke")
    device = campaign.find_slots("cpu")[0].device
    points = suites.select(suites.points(profile), ["table4"])
    done = [
        dataclasses.replace(
            speed("table4", p.model, "inference", 1.0, case="ladder", device=device), point=p.id
        )
        for p in points
    ]
    append(tmp_path / "smoke.jsonl", *done)
    measured = campaigns.measure_suites(profile, "table4")
    assert measured.records == done
    assert capsys.readouterr().out == "1 point, 1 of them measured before\n"


@pytest.mark.parametrize(
    "name, given, allowed", [("cpu", None, 8.0), ("cpu", 9, 9), ("gpu", None, None)]
)
def test_a_chapter_measures_as_long_as_its_reader_says_or_the_profile_allows(
    name, given, allowed, tmp_path, monkeypatch
):
    monkeypatch.setenv("TRESNET_LITE_RECORDS", str(tmp_path / "records.jsonl"))
    limits = []
    monkeypatch.setattr(campaign, "find_slots", lambda _: [])
    monkeypatch.setattr(campaign, "run", lambda *_, minutes, **__: limits.append(minutes) or [])
    campaigns.measure_suites(profiles.PROFILES[name], "table4", minutes=given)
    assert limits == [allowed]


def test_another_campaign_on_the_same_file_is_told_not_raised(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TRESNET_LITE_RECORDS", str(tmp_path / "smoke.jsonl"))
    with campaign.locked(tmp_path / "smoke.jsonl"):
        campaigns.measure_suites(profiles.resolve("smoke"), "table4")
    assert "not measured now: another campaign" in capsys.readouterr().out


# The chapters' own tables.


def test_the_papers_batches_are_one_amount_of_memory():
    """Counted bytes an image times the printed batch: the same for all four networks, to 3 %."""
    counted = table3.batch_factors().set_index("network")
    assert counted["together"].max() / counted["together"].min() < 1.03
    product = counted["architecture"] * counted["inplace"]
    assert product.tolist() == pytest.approx(counted["counted"].tolist(), rel=1e-12)
    assert (counted.loc["TResNet-M":, "lean_ratio"] > counted.loc["TResNet-M":, "counted"]).all()


def test_batches_by_setting_are_ratios_to_resnet50_of_the_same_run():
    def batch(suite, model, value, norm, memory, case="networks"):
        ran = {"norm": norm, "memory": memory, "metric": "largest_batch"}
        return speed(suite, model, "training", value, case=case, **ran)

    records = [
        batch("table3", "resnet50", 100, "bn", None),
        batch("table3", "tresnet_m", 190, "native", "lean"),
        batch("memory", "tresnet_m", 130, "bn", "paper", "settings"),
        speed("table3", "resnet50", "training", 10.0, norm="bn"),
        speed("memory", "tresnet_m", "training", 8.0, case="settings", norm="bn", memory="paper"),
    ]
    rows = table3.by_setting(records).set_index("setting")
    assert rows["batch_ratio"].dropna().to_dict() == {"BatchNorm": 1.3, "lean (our default)": 1.9}
    assert rows["speed_ratio"].dropna().to_dict() == {"BatchNorm": 0.8}
    # Half precision: what the issue of memory counts, BatchNorm's 43.8 over 33.3 MB.
    assert rows.at["BatchNorm", "counted"] == pytest.approx(1.313, abs=0.001)
    assert table3.by_setting([]).empty


def test_steps_are_changes_from_rung_to_rung():
    steps = table4.steps(tables.table4(rungs([100.0, 110.0, 99.0, 99.0, 198.0, 99.0]))).query(
        "phase == 'inference'"
    )
    assert steps["step"].tolist()[1:] == pytest.approx([0.1, -0.1, 0.0, 1.0, -0.5])
    assert math.isnan(steps["step"].iloc[0])
    printed = paper_table(4)["inference_img_s"].tolist()
    assert steps["paper_step"].iloc[1] == pytest.approx(printed[1] / printed[0] - 1)


def test_a_step_has_the_interval_of_its_own_processes():
    """The same processes make the ratio in the table, whose base is the first rung, and the step
    from it; a step between two later rungs has its own ratio in each process.
    """
    records = in_processes(rungs([100.0, 110.0, 99.0, 99.0, 198.0, 99.0]), 0.01)
    frame = tables.table4(records)
    steps = table4.steps(frame).query("phase == 'inference'").set_index("network")
    names = list(paper_table(4)["refinement"])
    first = steps.loc[names[1]]
    assert first["interval"] == f"{first.ratio_low - 1:+.1%} to {first.ratio_high - 1:+.1%}"
    third, second = (
        [r.value.median for r in records if r.model == name] for name in (names[2], names[1])
    )
    ratios = [math.log(a / b) for a, b in zip(third, second, strict=True)]
    half = 2.776445 * statistics.stdev(ratios) / math.sqrt(5)  # Student's t of 4 degrees
    ends = (math.exp(statistics.fmean(ratios) + sign * half) - 1 for sign in (-1, 1))
    assert steps.loc[names[2], "interval"] == "{:+.1%} to {:+.1%}".format(*ends)
    without = table4.steps(tables.table4([]))
    assert without["step"].isna().all() and set(without["interval"]) == {"–"}


def test_batches_at_448_px_take_the_memory_of_those_at_224():
    """A map has four times the pixels, and SE's and the head's vectors do not grow: so a little
    more than a quarter of the printed batch fits, and never a whole image more.
    """
    printed = paper_table(3).set_index("model")["max_batch"]
    table = table5.counted_batches().set_index("network")
    assert list(table.index) == ["TResNet-M", "TResNet-L", "TResNet-XL"]
    for name, row in table.iterrows():
        assert row["max_batch"] == printed[name]
        assert printed[name] / 4 - 1 < row["largest_batch"] <= printed[name] / 4 + 1


def test_accuracies_that_were_not_measured_take_no_columns():
    without = accuracy_table(beside_paper([], 5)).text
    assert "measured" not in without and "not attempted: no records" in without
    assert "timm, top-1" in without and "squash" in without
    lines = beside_paper([], 5).astype(object)
    lines.loc[0, ["measured_top1", "interval", "source"]] = [80.9, "80.5 to 81.2", "measured (x)"]
    shown = accuracy_table(lines).text
    assert "| 80.90 | 80.5 to 81.2 | – | measured (x) |" in shown


def test_a_waterfall_tells_its_numbers():
    frame = tables.table4(rungs([100.0, 110.0, 120.0, 130.0, 125.0, 105.0]))
    panels = table4.waterfall_panels(frame)
    assert list(panels) == ["paper, inference", "measured, inference"]
    drawn = table4_drawings.waterfall(panels, what="speed")
    assert "+ Inplace-ABN 1.3, + Optimizer SE layers 1.25, + AA 1.05" in drawn.text
    assert drawn.html.count("+10.0%") == 1 and drawn.html.count("-3.8%") == 1


def test_sizes_of_the_rungs():
    rows = table4.rung_sizes().set_index("refinement")
    with torch.device("meta"):
        expected = {
            "Original ResNet50": timm.create_model("resnet50"),
            "+ AA": create_model("tresnet_m"),
        }
    for name, network in expected.items():
        assert rows.at[name, "parameters_m"] == count_parameters(network) / 1e6
    assert rows.at["+ AA", "macs"] == 5.734965248


def test_macs_and_time_are_relative_to_resnet50():
    records = [
        speed("table1", "resnet50", "training", 100.0),
        speed("table1", "mixnet_l", "training", 50.0),
    ]
    line = one(table1.macs_and_time(tables.table1(records)), network="MixNet-L", phase="training")
    macs = table1.network_sizes().set_index("network")["macs"]
    assert line.time == 2.0 and line.macs_ratio == macs["MixNet-L"] / macs["ResNet50"]
    drawn = table1_drawings.proxy(table1.macs_and_time(tables.table1(records)))
    assert (
        "training, MixNet-L: 0.14 of the MACs in 2.01 of the time (paper), 2.00 (measured)"
        in drawn.text
    )


def test_four_times_the_pixels_are_four_times_the_work():
    """Convolutions scale with the pixels; only what works on averages, SE and the classifier, does
    not.
    """
    large = table5.resolution_costs().query("resolution == 448")
    for column in ("macs_ratio", "kept_ratio"):
        assert ((large[column] > 3.99) & (large[column] < 4)).all()


def test_figures_stand_without_measurements():
    for frame, draw in (
        (tables.table5([]), table5_drawings.trade),
        (table1.macs_and_time(tables.table1([])), table1_drawings.proxy),
    ):
        assert "measured)" not in each_run(frame, draw).text
    assert "this run" not in table3_drawings.batches(table3.batch_factors(), tables.table3([])).text


# The checks of claims about whole tables.


def successors(ratio: float, noise=0.001, phase="training") -> list[Record]:
    """A run of Table 1 in which ResNet50 is `ratio` times as fast as each of the others."""
    sizes = {m: EFFICIENTNETS.get(m, 224) for m in TABLE1}
    speeds = {m: 100.0 if m == "resnet50" else 100.0 / ratio for m in TABLE1}
    records = [speed("table1", m, phase, v, resolution=sizes[m]) for m, v in speeds.items()]
    return in_processes(records, noise)


@pytest.mark.parametrize(
    ("ratio", "noise", "margin", "word"),
    [
        (1.3, 0.005, 1.2, "reproduced"),
        (1.1, 0.005, 1.2, "differs"),
        (1.1, 0.2, 1.0, "inconclusive"),
        (0.9, 0.005, 1.0, "differs"),
    ],
)
def test_outpaces(ratio, noise, margin, word):
    settings = {
        "table": 1,
        "phase": "training",
        "network": "ResNet50",
        "others": ["EfficientNetB1", "MixNet-L"],
    }
    (found,) = CHECKS["outpaces"](successors(ratio, noise), **settings, margin=margin)
    assert found.word == word
    assert float(found.ours.partition("–")[0]) == pytest.approx(ratio, rel=4 * noise)
    assert found.label == "measured (Imaginary GPU, 2026-01-02, abcdef12)"


def test_outpaces_needs_every_network_at_the_papers_size():
    settings = {
        "table": 1,
        "phase": "training",
        "network": "ResNet50",
        "others": ["EfficientNetB1", "MixNet-L"],
    }
    (found,) = CHECKS["outpaces"]([r for r in successors(2.0) if r.model != "mixnet_l"], **settings)
    assert found.word == "not attempted" and "MixNet-L" in found.why
    small = [
        speed("table1", m, "training", 1.0, resolution=64)
        for m in ("resnet50", "mixnet_l", "efficientnet_b1")
    ]
    for records in ([], small, successors(2.0, phase="inference")):
        (found,) = CHECKS["outpaces"](records, **settings)
        assert found.word == "not attempted" and "at 224 px" in found.why


def test_directions():
    printed = paper_table(4)["inference_img_s"].astype(float).tolist()
    (found,) = CHECKS["directions"](in_processes(rungs(printed)), phase="inference")
    assert (found.word, found.ours) == ("reproduced", "5 of 5 steps")
    (found,) = CHECKS["directions"](in_processes(rungs(printed), 0.05), phase="inference")
    # a step whose interval holds none is none
    assert found.word == "inconclusive" and "Inplace-ABN" in found.why
    falling = [1000.0 - place for place in range(len(printed))]
    (found,) = CHECKS["directions"](in_processes(rungs(falling), 1e-5), phase="inference")
    assert found.word == "differs" and "the other way: + Stem" in found.why
    (found,) = CHECKS["directions"](rungs(printed)[:3], phase="inference")
    assert found.word == "not attempted" and "+ AA" in found.why


def test_a_day_of_training_is_judged_on_the_papers_gpu_alone():
    settings = {"networks": ["ResNet50", "TResNet-M"], "gpu": "V100", "gpus": 8, "hours": 24}
    printed = paper_table(3).set_index("model")["training_img_s"]

    def run(device, factor):
        named = {"resnet50": "ResNet50", "tresnet_m": "TResNet-M"}
        return [
            speed("table3", m, "training", factor * float(printed[n]), device=device)
            for m, n in named.items()
        ]

    (found,) = CHECKS["trains_within"](run("Tesla V100-SXM2-16GB", 1.0), **settings)
    # 300 · 1281167 / (8 · 730) seconds
    assert found.word == "reproduced" and "TResNet-M 18.3 h" in found.ours
    (found,) = CHECKS["trains_within"](run("Tesla V100-SXM2-16GB", 0.7), **settings)
    assert found.word == "differs"
    (found,) = CHECKS["trains_within"](run("Imaginary GPU", 1.0), **settings)
    assert found.word == "not attempted"


def test_macs_of_table_1():
    (found,) = CHECKS["table_1_macs"]([], but=["ResNet50", "TResNet-M"])
    assert (found.word, found.ours) == (
        "differs",
        "0 of 5",
    ) and "MixNet-L 0.56 G, printed 0.5" in found.why
    (found,) = CHECKS["table_1_macs"]([], but=list(set(paper_table(1)["model"]) - {"ResNet50"}))
    assert found.word == "reproduced"

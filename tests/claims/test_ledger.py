"""Tables and verdicts follow from the records they are given; the planted records here are of no
real device.
"""

import dataclasses
import os
import subprocess
import sys

import pandas as pd
import pytest
import yaml
from helpers import PROVENANCE
from planted import in_processes, verdict
from planted import speed as planted_speed

from tresnet_lite import create_model
from tresnet_lite.book.readme import results as readme
from tresnet_lite.checkout import DATA, ROOT
from tresnet_lite.claims import __main__ as command
from tresnet_lite.claims import ledger as claims_module
from tresnet_lite.claims import size
from tresnet_lite.claims.evidence import WORDS as EVIDENCE_WORDS
from tresnet_lite.claims.ledger import CHECKS, Claim, ledger, load_claims
from tresnet_lite.claims.verdict import WORDS
from tresnet_lite.counting import count_parameters
from tresnet_lite.experiments.stems import IN_RESNET50
from tresnet_lite.findings.sizes import model_sizes
from tresnet_lite.paper import paper_value
from tresnet_lite.records import Conditions, Record, Spread, append, store


def speed(
    model: str, median: float, phase="inference", resolution=224, spread=0.01, device=None
) -> Record:
    return Record(
        suite="stem",
        case="resnet50",
        model=model,
        phase=phase,
        metric="throughput",
        value=Spread(median, median * (1 - spread), median * (1 + spread), 9),
        conditions=Conditions(batch=32, resolution=resolution),
        provenance=dataclasses.replace(PROVENANCE, device=device or PROVENANCE.device),
    )


@pytest.mark.parametrize(
    ("ratio", "noise", "word", "why"),
    [
        (1.05, 0.001, "reproduced", "above 1× (5 processes)"),
        (0.95, 0.001, "differs", "below 1× (5 processes)"),
        (1.05, 0.1, "inconclusive", "the interval holds 1× (5 processes)"),
    ],
)
def test_faster_means_by_more_than_processes_differ(ratio, noise, word, why):
    records = [speed("conv7x7", 100), speed("space_to_depth", 100 * ratio)]
    found = verdict(in_processes(records, noise), "stem-speeds-inference-up")
    assert found.word == word and why in found.why
    assert found.label == "measured (Imaginary GPU, 2026-01-02, abcdef12)"


def test_a_ratio_is_judged_against_the_papers_two_cells():
    """To a third of the effect: here 4.2 % ± 1.4 %."""
    printed = 2950 / 2830
    for ratio, word in (
        (printed, "reproduced"),
        (1.035, "reproduced"),
        (1.022, "differs"),
        (1.062, "differs"),
        (1 / printed, "differs"),
    ):
        records = [speed("conv7x7", 100), speed("space_to_depth", 100 * ratio)]
        found = verdict(in_processes(records, 3e-4), "stem-inference-gain")
        assert found.word == word and found.paper == f"{printed:.3f}×"
        assert float(found.ours.split("×")[0]) == pytest.approx(ratio, abs=0.002)
    # at the edge of what counts, nothing is said
    records = [speed("conv7x7", 100), speed("space_to_depth", 100 * printed ** (4 / 3))]
    assert verdict(in_processes(records, 0.01), "stem-inference-gain").word == "inconclusive"


def test_one_process_tells_only_what_two_processes_could_not_differ_by():
    small = [speed("conv7x7", 100), speed("space_to_depth", 104)]
    found = verdict(small, "stem-speeds-inference-up")
    assert found.word == "inconclusive"
    assert "different processes, so a factor of 1.35 is allowed for" in found.why
    large = [speed("conv7x7", 100), speed("space_to_depth", 140)]
    assert verdict(large, "stem-speeds-inference-up").word == "reproduced"


def test_without_records_nothing_is_attempted_and_the_reason_is_given():
    assert verdict([], "stem-inference-gain").word == "not attempted"
    assert "no records" in verdict([], "stem-inference-gain").why
    small = [speed("conv7x7", 100, resolution=64), speed("space_to_depth", 200, resolution=64)]
    found = verdict(small, "stem-speeds-inference-up")
    assert found.word == "not attempted" and "measured at 64 px only" in found.why
    assert found.ours == ""


def test_a_thin_network_judges_no_claim():
    def thin(record):
        return dataclasses.replace(
            record, conditions=dataclasses.replace(record.conditions, width=8)
        )

    base, fast = speed("conv7x7", 100), speed("space_to_depth", 200)
    found = verdict([thin(base), thin(fast)], "stem-speeds-inference-up")
    assert found.word == "not attempted" and "measured at 224 px and width 8 only" in found.why
    assert "no records" in verdict([base, thin(fast)], "stem-speeds-inference-up").why
    assert (
        verdict([thin(base), thin(fast), base, fast], "stem-speeds-inference-up").word
        == "reproduced"
    )


def test_each_device_has_its_verdict(monkeypatch):
    one = [claim for claim in load_claims() if claim.id == "stem-speeds-inference-up"]
    monkeypatch.setattr(claims_module, "load_claims", lambda: one)
    records = [speed("conv7x7", 100), speed("space_to_depth", 120)]
    records += [speed("conv7x7", 100, device="B"), speed("space_to_depth", 80, device="B")]
    rows = ledger(in_processes(records))
    assert rows["verdict"].tolist() == ["reproduced", "differs"] and set(rows["id"]) == {one[0].id}


def test_other_claims_are_judged_anew(monkeypatch):
    one, whole = load_claims()[:1], ledger([])
    monkeypatch.setattr(claims_module, "load_claims", lambda: one)
    assert set(ledger([])["id"]) == {one[0].id} < set(whole["id"])


def test_a_cpu_judges_itself_and_not_the_paper():
    """What the paper says of GPUs; sizes are counted, whatever the device."""
    gpu = in_processes([speed("conv7x7", 100), speed("space_to_depth", 120)])
    cpu = [
        dataclasses.replace(
            r, provenance=dataclasses.replace(r.provenance, device="A CPU, 2 threads", cuda=None)
        )
        for r in gpu
    ]
    claims = {claim.id: claim for claim in load_claims()}
    words = [v.word for v in claims["stem-speeds-inference-up"].verdicts([*gpu, *cpu])]
    assert words == ["reproduced", "holds here"]
    (found,) = claims["stem-inference-gain"].verdicts(cpu)
    assert found.word == "does not hold here"  # 1.2, where 1.042 is printed
    assert [v.word for v in claims["parameters-xl"].verdicts(cpu)] == ["differs"]


def test_our_layer_does_not_judge_the_published_one():
    """TResNet with our Inplace-ABN against ResNet50 on a GPU: measured, and no verdict."""

    def networks(norm):
        names = {"resnet50": ("bn", 100.0), "tresnet_m": (norm, 50.0)}
        return in_processes(
            [
                planted_speed("table3", model, "training", value, norm=n)
                for model, (n, value) in names.items()
            ]
        )

    found = verdict(networks("native"), "table3-m-training")
    assert found.word == "inconclusive" and "not the published CUDA one" in found.why
    assert verdict(networks("mapillary"), "table3-m-training").word == "differs"
    assert verdict(networks("bn"), "table3-m-training").word == "differs"


def test_size_claims_are_counted():
    found = verdict([], "parameters-m")
    counted = count_parameters(create_model("tresnet_m", num_classes=0)) / 1e6
    assert found.ours == f"{counted:.3f} M" and found.label.startswith("counted")
    off = abs(counted / paper_value(2, "params_m", model="TResNet-M", layer="#Params.") - 1)
    assert (found.word == "reproduced") == (off <= 0.005)
    assert verdict([], "stem-downscales-by-four").word == "reproduced"
    assert verdict([], "stem-convolution-output").word == "differs"  # the table's 30×30


def test_a_wrong_count_would_be_noticed(monkeypatch):
    monkeypatch.setattr(size, "count_macs", lambda model: 4_200_000_000)
    assert verdict([], "macs-resnet50").word == "differs"


def test_every_claim_says_what_it_needs_to():
    claims = load_claims()
    assert {claim.check["name"] for claim in claims} == set(CHECKS)
    assert all(claim.sentence.endswith(".") and claim.section for claim in claims)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"kind": "taste"}, "claim .*: kind is 'taste'"),
        ({"check": {"name": "guess"}}, "claim .*: no check 'guess'"),
        ({"check": {"name": "macs"}}, "claim .*: check 'macs': missing a required argument"),
        (
            {"check": {"name": "awaits", "needs": "time", "speed": 1}},
            "claim .*: check 'awaits': got an unexpected keyword argument 'speed'",
        ),
    ],
)
def test_a_claim_that_cannot_be_judged_is_refused(change, reason):
    with pytest.raises(ValueError, match=reason):
        dataclasses.replace(load_claims()[0], **change)


def test_claims_need_names_of_their_own(tmp_path):
    entries = yaml.safe_load((DATA / "paper" / "claims.yaml").read_text(encoding="utf-8"))
    file = tmp_path / "claims.yaml"
    file.write_text(yaml.safe_dump(entries * 2), encoding="utf-8")
    with pytest.raises(ValueError, match="ids used twice: .*macs-m"):
        load_claims(file)
    assert isinstance(load_claims()[0], Claim)


def test_the_stem_table_has_paper_measured_and_ratio():
    records = [
        speed("conv7x7", 100),
        speed("space_to_depth", 110),
        speed("resnet50_d", 50, phase="training"),
    ]
    table = IN_RESNET50.every_run(records).set_index(["model", "phase"])
    s2d = table.loc[("space_to_depth", "inference")]
    assert (s2d["paper"], s2d["measured"], s2d["ratio"]) == (2950, 110, pytest.approx(1.1))
    assert s2d["paper_ratio"] == pytest.approx(2950 / 2830) and s2d["label"].startswith(
        "measured (Imaginary"
    )
    # Table 4 has no training speeds
    assert pd.isna(table.loc[("space_to_depth", "training"), "paper"])
    # its 7×7 was not measured: there is no ratio to report
    alone = table.loc[("resnet50_d", "training")]
    assert (
        alone["paper"] == 600
        and pd.isna(alone["measured"])
        and alone["label"].startswith("not attempted")
    )


def test_the_sizes_table_sets_counted_beside_printed():
    sizes = model_sizes().set_index("model")
    assert sizes.loc["TResNet-L", "parameters_m"] == pytest.approx(55.989256)
    assert sizes.loc["TResNet-L", "paper_parameters"] == 54.7
    assert sizes.loc["ResNet50", "paper_macs"] == 4.1 and pd.isna(
        sizes.loc["ResNet50", "paper_parameters"]
    )


def test_the_readme_shows_what_a_gpu_judged(monkeypatch):
    monkeypatch.setattr(store, "committed", list)
    without = readme()
    assert "| TResNet-M | 31.389 | 29.340 | 29.4 | 5.735 | 5.5 |" in without
    assert "says of speed" not in without and f"{len(load_claims())} claims, of which" in without
    records = in_processes([speed("conv7x7", 100), speed("space_to_depth", 120)], 1e-4)
    monkeypatch.setattr(store, "committed", lambda: records)
    shown = readme()
    assert "on the Imaginary GPU:**" in shown and "1.200× (1.200–1.200) | differs |" in shown
    assert "measured (Imaginary GPU, 2026-01-02, abcdef12)" in shown


def test_records_of_this_machine_join_the_committed_ones(tmp_path, monkeypatch):
    own = tmp_path / "own.jsonl"
    monkeypatch.setenv(store.VARIABLE, str(own))
    assert store.named_file() == store.machine_file("cpu") == own
    assert store.standing(own) == store.committed()  # nothing measured here yet
    append(own, speed("conv7x7", 100))
    assert len(store.standing(own)) == len(store.committed()) + 1


def test_a_broken_record_stops_the_report_with_its_place(tmp_path, monkeypatch, capsys):
    own = tmp_path / "own.jsonl"
    own.write_text("{")
    monkeypatch.setenv("TRESNET_LITE_RECORDS", str(own))
    assert command.main([]) == 1
    assert "own.jsonl:1: a half-written line" in capsys.readouterr().err


def test_the_command_line_prints_a_line_for_each_claim(tmp_path):
    own = tmp_path / "own.jsonl"
    append(own, speed("conv7x7", 100), speed("space_to_depth", 104))
    command = [sys.executable, "-m", "tresnet_lite.claims"]
    environment = {**os.environ, "TRESNET_LITE_RECORDS": str(own), "PYTHONPATH": str(DATA.parent)}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    *lines, last = done.stdout.splitlines()
    judged = [line for line in lines if "  " in line]  # and not a sum
    assert {line.split("  ")[0].strip() for line in judged} <= {*WORDS, *EVIDENCE_WORDS}
    assert all(any(claim.id in line for line in lines) for claim in load_claims())
    assert any(
        "stem-speeds-inference-up" in li and "1.040×" in li and "Imaginary GPU" in li
        for li in lines
    )
    assert last.startswith(f"{len(load_claims())} claims")


def test_a_named_file_may_be_relative_but_no_folder(tmp_path, monkeypatch, capsys):
    """A relative name is seen from the checkout, wherever the program runs."""
    monkeypatch.setenv(store.VARIABLE, "build/mine.jsonl")
    monkeypatch.chdir(tmp_path)
    assert store.machine_file("cpu") == ROOT / "build" / "mine.jsonl"
    monkeypatch.setenv(store.VARIABLE, str(tmp_path))
    assert command.main([]) == 1 and "names a folder" in capsys.readouterr().err
    monkeypatch.setenv(store.VARIABLE, str(tmp_path / "none.jsonl"))
    one = load_claims()[:1]
    monkeypatch.setattr(claims_module, "load_claims", lambda: one)
    assert command.main([]) == 0 and "there is no file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({"check": "faster"}, "claim a: write its check as"),
        ({"check": {"name": ["faster"]}}, r"claim a: no check \['faster'\]"),
        ({}, "claim a: .* missing 1 required positional argument: 'check'"),
        ({"check": {"name": "macs"}, "mood": "good"}, "claim a: .* argument 'mood'"),
    ],
)
def test_a_misshapen_claim_is_refused_by_its_id(entry, reason, tmp_path):
    claim = {"id": "a", "section": "§1", "kind": "size", "sentence": "It is so."} | entry
    file = tmp_path / "claims.yaml"
    file.write_text(yaml.safe_dump([claim]), encoding="utf-8")
    with pytest.raises(ValueError, match=reason):
        load_claims(file)


def grown(template, separator, link):
    """Ten lists or mappings in YAML, each with ten of the one before: ten thousand million."""
    names = "abcdefghijk"
    bodies = [separator.join([link.format(name)] * 10) for name in names]
    later = [f"&{names[i]} {template.format(bodies[i - 1])}" for i in range(1, 11)]
    return ["&a {x: 1}", *later]


LISTS = ", ".join(f"f{i}: {x}" for i, x in enumerate(grown("[{}]", ", ", "*{}")))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (f"- {{{LISTS}}}", "got an unexpected keyword argument"),
        (f"- {{id: {{{LISTS}}}}}", "missing 4 required"),
        (f"- {{id: a, section: s, sentence: s, check: c, kind: {{{LISTS}}}}}", "must be a text"),
        ("\n".join(f"- {x}" for x in grown("{{<<: [{}]}}", ", ", "*{}")), "more than 100 fields"),
        ("\n".join(f"- {x}" for x in grown("{{{}}}", ", ", "<<: *{}")), "more than 100 fields"),
        ("- &a {id: *a}", "missing 4 required"),
        ("[" * 5000, "is not YAML as"),
        ("5", "must be a list of claims"),
        ("[5]", "claim 5: "),
        (
            "- {id: [1], section: s, kind: size, sentence: s, check: {name: macs}}",
            "id must be a text",
        ),
    ],
)
def test_claims_that_would_fill_the_memory_are_refused(text, reason, tmp_path):
    file = tmp_path / "claims.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=reason) as raised:
        load_claims(file)
    assert len(str(raised.value)) < 2000

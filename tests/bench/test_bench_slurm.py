"""Jobs through submitit's local executor: the same points, their records gathered in one file."""

import builtins

import pytest

from tresnet_lite.bench import slurm
from tresnet_lite.bench.__main__ import main
from tresnet_lite.bench.campaign import CampaignError, locked
from tresnet_lite.bench.suites import Point
from tresnet_lite.records import Conditions, Record, Spread, append, collect, failures, load

QUICK = {
    "repeats": 3,
    "min_block": 0.005,
    "max_seconds": 0.01,
    "phases": ("inference",),
    "seconds": 5.0,
}


def make_point(model: str) -> Point:
    return Point(
        suites=("table1",), case="c", model=model, device="cpu", resolution=32, batch=2, **QUICK
    )


def record(point: Point, median: float = 2.0) -> Record:
    value, ran = Spread(median, median, median, 5), Conditions(2, 32)
    return Record(
        "table1", "c", point.model, "inference", "throughput", value, ran, collect("cpu"), point.id
    )


def test_jobs_measure_and_their_records_are_gathered(tmp_path):
    pytest.importorskip("submitit", reason="submitit is an optional extra")
    out, told = tmp_path / "records.jsonl", []
    points = [make_point("resnet18"), make_point("done before")]
    append(out, record(points[1]))
    assert slurm.run(points, out, cluster="local", tell=told.append) == []
    assert [r.model for r in load(out)] == ["done before", "resnet18"] and failures(out) == []
    assert len(told) == 1 and "resnet18" in told[0] and "done; 0 left" in told[0]
    assert list(tmp_path.glob("*.parts/*.jsonl")) == []
    assert slurm.run(points, out, cluster="local", tell=told.append) == [] and len(told) == 1


def test_what_the_jobs_of_a_lost_campaign_measured_is_gathered_once(tmp_path):
    out, parts = tmp_path / "records.jsonl", tmp_path / "records.parts"
    a, b, c = make_point("a"), make_point("b"), make_point("c")
    append(parts / "1.jsonl", record(a))
    append(parts / "2.jsonl", record(b))
    append(out, *load(parts / "1.jsonl"))  # killed after writing and before removing the part
    append(parts / "3.jsonl", record(c))
    with locked(parts / "3.jsonl"):  # this job is still at work
        slurm.gather(out)
    assert [r.model for r in load(out)] == ["a", "b"] and [
        p.name for p in parts.glob("*.jsonl")
    ] == ["3.jsonl"]
    slurm.gather(out)
    assert [r.model for r in load(out)] == ["a", "b", "c"] and list(parts.glob("*.jsonl")) == []


def test_what_the_jobs_ask_of_slurm(tmp_path, monkeypatch):
    asked = {}

    class Executor:
        def update_parameters(self, **parameters):
            asked.update(parameters)

        def map_array(self, *_):
            return []

    monkeypatch.setattr(slurm, "_executor", lambda out, cluster: Executor())
    options = "--account lab --qos long --constraint v100 --cpus 6 --memory 32 --models resnet50"
    out = ["--out", str(tmp_path / "r.jsonl")]
    assert main(["slurm", "table3", "--profile", "gpu", *options.split(), *out]) == 0
    assert asked["slurm_account"] == "lab" and asked["slurm_qos"] == "long"
    assert asked["slurm_constraint"] == "v100" and asked["gpus_per_node"] == 1
    assert asked["cpus_per_task"] == 6 and asked["mem_gb"] == 32
    assert "slurm_partition" not in asked  # Slurm's default


def test_without_submitit_it_says_what_to_install(tmp_path, monkeypatch):
    real = builtins.__import__

    def without(name, *rest):
        if name == "submitit":
            raise ImportError("No module named 'submitit'")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(CampaignError, match="pip install submitit$"):
        slurm.run([make_point("a")], tmp_path / "r.jsonl")

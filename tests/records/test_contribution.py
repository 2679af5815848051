"""A file joins the committed records only where it can replace nothing of another machine's."""

import dataclasses
import re
import subprocess

import pytest
from helpers import PROVENANCE
from planted import speed

from tresnet_lite.bench.__main__ import main
from tresnet_lite.checkout import DATA
from tresnet_lite.records import RecordError, append, contribution, store
from tresnet_lite.records.contribution import check_contribution

NAME = "imaginary-gpu.jsonl"


def record(median=100.0, **provenance):
    here = dataclasses.replace(PROVENANCE, **provenance)
    return dataclasses.replace(speed("table3", "m", "training", median), provenance=here)


@pytest.fixture
def history(tmp_path, monkeypatch):
    """A checkout of one commit, whose name it is."""
    git = ("git", "-C", str(tmp_path), "-c", "user.name=x", "-c", "user.email=x")
    for command in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "x"]):
        subprocess.run([*git, *command], check=True)
    monkeypatch.setattr(contribution, "PACKAGE", tmp_path)
    answer = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    return answer.stdout.strip()


def test_the_committed_records_are_fit_to_be_committed():
    files = sorted((DATA / "measured").glob("*.jsonl"))
    assert files and [check_contribution(file) for file in files] == files


def test_the_steps_of_a_pull_request_are_printed(record_file, history, capsys, tmp_path):
    append(tmp_path / "my gpu.jsonl", record(commit=history))
    assert main(["contribute", str(tmp_path / "my gpu.jsonl")]) == 0
    said = capsys.readouterr().out
    assert f"my gpu.jsonl' >> data/measured/{NAME}" in said
    assert f"git add data/measured/{NAME}" in said
    append(store.COMMITTED / NAME, record(commit=history))
    assert main(["contribute", str(tmp_path / "my gpu.jsonl")]) == 0
    assert "Is that another machine?" in capsys.readouterr().out
    assert main(["contribute", str(store.COMMITTED / NAME)]) == 0
    assert ">>" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("file", "change", "reason"),
    [
        (NAME, {"dirty": True}, "measure in a checkout without changes"),
        (NAME, {"commit": "not a checkout"}, "measure in a checkout without changes"),
        (NAME, {"commit": "-" * 40}, "measure in a checkout without changes"),
        (NAME, {"commit": "0" * 40}, "in this history: fetch it"),
        (NAME, {"date": "9999-12-31T00:00:00+00:00"}, "in the future"),
        ("my-gpu.jsonl", {}, f"git mv my-gpu.jsonl {NAME}"),
        (NAME, None, "holds no records"),
        (NAME, {"device": "Кремний"}, "no letters"),
        ("rehearsal-of-a-gpu.jsonl", {"device": "Rehearsal of a GPU"}, "measures nothing: remove"),
    ],
)
def test_what_may_not_be_committed_is_refused(record_file, history, capsys, file, change, reason):
    path = store.COMMITTED / file
    append(path, *([] if change is None else [record(**{"commit": history} | change)]))
    assert main(["contribute", str(path)]) == 2
    assert re.search(reason, capsys.readouterr().err)


def test_a_file_that_is_not_there_is_named(capsys):
    assert main(["contribute", "nowhere.jsonl"]) == 2
    assert "no file nowhere.jsonl" in capsys.readouterr().err


def test_a_history_that_is_cut_short_knows_no_better(record_file, history, tmp_path):
    clone = tmp_path / "clone"
    subprocess.run(["git", "-C", tmp_path, "commit", "-qm", "y", "--allow-empty"], check=True)
    subprocess.run(["git", "clone", "-q", "--depth=1", f"file://{tmp_path}", clone], check=True)
    append(store.COMMITTED / NAME, record(commit="0" * 40))
    assert check_contribution(store.COMMITTED / NAME, clone).name == NAME
    with pytest.raises(RecordError, match="in this history"):
        check_contribution(store.COMMITTED / NAME, tmp_path)


@pytest.mark.parametrize("device", ["Imaginary GPU", "imaginary  GPU", "Imaginary-GPU"])
def test_nothing_committed_is_replaced_by_another_file(record_file, device):
    """Not by a later date, not by a name that only looks the same."""
    append(store.COMMITTED / NAME, record())
    append(store.COMMITTED / "new.jsonl", record(9999.0, device=device, date=PROVENANCE.date))
    with pytest.raises(RecordError, match=rf"new\.jsonl: .* is in {NAME} too.*open an issue"):
        store.committed()


def test_a_rehearsal_stays_in_a_file_of_its_own(record_file):
    rehearsal = record(device="Rehearsal of Tesla V100")
    append(record_file, rehearsal)
    assert store.standing(record_file) == [rehearsal]
    append(store.COMMITTED / "gpu.jsonl", rehearsal)
    with pytest.raises(RecordError, match="gpu.jsonl: of a rehearsal, which measures nothing"):
        store.committed()


def test_this_machine_may_measure_again(record_file):
    """A device of the committed records is measured here: of both, the later record stands."""
    append(store.COMMITTED / NAME, record(1.0), record(2.0, date="2026-03-01T00:00:00+00:00"))
    append(record_file, record(3.0, date="2026-02-01T00:00:00+00:00"))
    assert [r.value.median for r in store.standing(record_file)] == [2.0]
    append(record_file, record(4.0, date="2026-04-01T00:00:00+00:00"))
    assert [r.value.median for r in store.standing(record_file)] == [4.0]
    assert [r.value.median for r in store.committed()] == [2.0]

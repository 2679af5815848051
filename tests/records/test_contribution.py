"""A file joins the committed records only where it can replace nothing of another machine's."""

import dataclasses
import re
import subprocess

import pytest
from helpers import PROVENANCE, skip_without_git
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
    skip_without_git()
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
    append(store.COMMITTED / NAME, record(commit=history, run="another"))
    assert main(["contribute", str(tmp_path / "my gpu.jsonl")]) == 0
    said = capsys.readouterr().out
    assert f"{NAME} already has records of this device; yours are appended" in said
    assert f"my gpu.jsonl' >> data/measured/{NAME}" in said
    assert main(["contribute", str(store.COMMITTED / NAME)]) == 0
    assert ">>" not in capsys.readouterr().out


def commit(history_of):
    """Commit what lies in the checkout."""
    for command in (["add", "-A"], ["commit", "-qm", "x"]):
        git = ["git", "-C", str(history_of), "-c", "user.name=x", "-c", "user.email=x"]
        subprocess.run([*git, *command], check=True)


def test_a_second_machine_adds_a_run_of_its_own(record_file, history, capsys, tmp_path):
    """Its numbers stand where they are later, the committed lines stay, and other files' records
    are not touched.
    """
    file, mine = store.COMMITTED / NAME, tmp_path / "mine.jsonl"
    append(file, record(1.0, commit=history, run="first"))
    commit(tmp_path)
    later = {"commit": history, "run": "second", "date": "2026-03-01T00:00:00+00:00"}
    append(mine, record(2.0, **later))
    assert check_contribution(mine) == file
    committed = file.read_bytes()
    file.write_bytes(committed + mine.read_bytes())  # cat mine >> file
    assert check_contribution(file) == file
    assert [r.value.median for r in store.committed()] == [2.0]
    commit(tmp_path)
    assert check_contribution(file) == file
    with pytest.raises(RecordError, match=f"1 of its lines are in {NAME}: remove them"):
        check_contribution(mine)


@pytest.mark.parametrize("committed", [False, True])
@pytest.mark.parametrize(
    ("replaced", "reason"),
    [
        (("b",), r"1 committed lines are gone or changed: `git checkout HEAD"),
        ((), r"2 committed lines are gone or changed"),
        (("a", "other b"), r"1 committed lines are gone or changed"),
        (("a", "b", "of the same run"), "new lines claim run 'first', which .* already has"),
    ],
)
def test_no_committed_line_is_replaced(record_file, history, tmp_path, replaced, reason, committed):
    """Not by a line that is dropped or changed, nor by one that claims the run of another's."""
    medians = {"a": 1.0, "b": 2.0, "other b": 9.0, "of the same run": 9.0, "mine": 5.0}
    lines = {name: record(median, commit=history, run="first") for name, median in medians.items()}
    lines["mine"] = record(5.0, commit=history, run="mine")
    file = store.COMMITTED / NAME
    append(file, lines["a"], lines["b"])
    commit(tmp_path)
    file.unlink()
    append(file, *(lines[name] for name in (*replaced, "mine")))
    if committed:  # as continuous integration sees it
        commit(tmp_path)
    with pytest.raises(RecordError, match=reason):
        check_contribution(file)


def test_two_pull_requests_may_add_to_one_file(record_file, history, tmp_path):
    """Merged in any order, both have kept the lines of the other."""
    file, git = store.COMMITTED / NAME, ["git", "-C", str(tmp_path)]
    runs = {run: record(1.0, commit=history, run=run).to_json() + "\n" for run in "abc"}
    file.write_text(runs["a"])
    commit(tmp_path)
    subprocess.run([*git, "switch", "-qc", "theirs"], check=True)
    file.write_text(runs["a"] + runs["b"])
    commit(tmp_path)
    file.write_text(runs["a"] + runs["c"] + runs["b"])
    assert check_contribution(file) == file


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


@pytest.mark.parametrize("device", ["Imaginary GPU", "imaginary GPU", "Imaginary-GPU"])
def test_nothing_committed_is_replaced_by_another_file(record_file, device):
    """Not by a later date, not by a name that only looks the same."""
    append(store.COMMITTED / NAME, record())
    append(store.COMMITTED / "new.jsonl", record(9999.0, device=device, date=PROVENANCE.date))
    with pytest.raises(
        RecordError, match=rf"new\.jsonl: .* is in {NAME} too.*append the lines to {NAME}"
    ):
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

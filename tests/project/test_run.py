"""`make test` remembers what passed, and only that."""

import subprocess
import sys

import pytest
import run

PASS, FAIL = (
    [sys.executable, "-c", "print('ran')"],
    [sys.executable, "-c", "raise SystemExit('reason')"],
)


@pytest.fixture(autouse=True)
def stamps(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "PASSES", tmp_path)


@pytest.fixture
def calls(monkeypatch):
    """The commands that were really run."""
    made, real = [], subprocess.run
    monkeypatch.setattr(
        run.subprocess, "run", lambda command, **kw: made.append(command) or real(command, **kw)
    )
    return made


def test_what_passed_is_not_run_again_until_something_changes(calls, capsys):
    assert run.passes("part", PASS, "key", False, quiet=True)
    assert run.passes("part", PASS, "key", False, quiet=True)
    assert (
        len(calls) == 1 and "nothing changed since the last passing run" in capsys.readouterr().out
    )
    assert run.passes("part", PASS, "key", True, quiet=True)
    assert run.passes("part", PASS, "another key", False, quiet=True)
    assert len(calls) == 3


def test_a_failure_is_shown_and_never_remembered(calls, capsys):
    assert run.passes("part", PASS, "key", False, quiet=True)
    assert not run.passes("part", FAIL, "new", False, quiet=True)
    assert "reason" in capsys.readouterr().out
    assert not run.passes("part", FAIL, "new", False, quiet=True)
    assert run.passes("part", PASS, "key", False, quiet=True)
    assert len(calls) == 4

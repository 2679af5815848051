"""Provenance tells the truth about the commit, and what the device does not tell is None."""

import dataclasses
import os
import subprocess
import sys
from multiprocessing import get_context

import pytest
import torch
from helpers import skip_without_git

import tresnet_lite
from tresnet_lite.records import collect, nvidia_smi
from tresnet_lite.records.provenance import (
    NO_COMMIT,
    RUN,
    begin_run,
    git_state,
    process_id,
    without_folders,
)


def git(folder, *arguments: str) -> str:
    identity = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    done = subprocess.run(
        ["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path):
    """A repository with a package in it, committed."""
    skip_without_git()
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").write_text("x = 1\n")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "first")
    return tmp_path


def test_a_clean_checkout_is_its_commit(checkout):
    assert git_state(checkout / "package") == (git(checkout, "rev-parse", "HEAD"), False)
    (checkout / "elsewhere.txt").write_text(
        "records may grow without making the package another one"
    )
    assert not git_state(checkout / "package")[1]


@pytest.mark.parametrize("file", ["__init__.py", "new.py"])
def test_a_changed_package_is_dirty(checkout, file):
    (checkout / "package" / file).write_text("x = 2\n")
    assert git_state(checkout / "package") == (git(checkout, "rev-parse", "HEAD"), True)


def test_a_package_outside_a_checkout_has_no_commit(tmp_path, checkout):
    # in the folder of someone's repository, but not of it
    installed = checkout / "environment" / "package"
    installed.mkdir(parents=True)
    (installed / "__init__.py").write_text("")
    assert git_state(installed)[0] == NO_COMMIT


def test_a_checkout_of_another_user_is_read_and_runs_no_program(checkout, monkeypatch):
    """As in a container with a mounted folder, where git refuses to work without being asked."""
    commit = git(checkout, "rev-parse", "HEAD")
    git(checkout, "config", "core.fsmonitor", "touch ../started; true")
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    with pytest.raises(subprocess.CalledProcessError):
        git(checkout, "rev-parse", "HEAD")
    assert git_state(checkout / "package") == (commit, False)
    (checkout / "package" / "new.py").touch()
    assert git_state(checkout / "package") == (commit, True)
    assert not list(checkout.parent.rglob("started"))


def test_a_checkout_that_git_cannot_read_is_not_called_clean(checkout, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert git_state(checkout / "package") == (NO_COMMIT, True)


def test_provenance_of_this_process():
    provenance = collect("cpu")
    assert provenance.torch == torch.__version__
    assert provenance.package == tresnet_lite.__version__
    assert provenance.threads == torch.get_num_threads()
    assert provenance.cpu in provenance.device and str(provenance.threads) in provenance.device
    assert provenance.cuda is None and provenance.driver is None
    assert provenance.date[:10] in provenance.source and provenance.device in provenance.source


ELSEWHERE = """
from tresnet_lite.records import collect
here = collect("cpu")
print(here.process, here.run)
"""


def elsewhere() -> list[str]:
    """Process and run, as another process that this one starts gives them."""
    command = [sys.executable, "-c", ELSEWHERE]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


def test_a_process_has_one_id_and_another_process_another():
    here = collect("cpu")
    assert here.process and here.process == collect("cpu").process
    assert here.process not in (elsewhere()[0], elsewhere()[0])


def test_a_forked_process_has_an_id_of_its_own():
    process_id()
    with get_context("fork").Pool(1) as pool:
        assert pool.apply(process_id) != process_id()


def test_what_a_process_starts_is_part_of_its_run(monkeypatch):
    monkeypatch.setenv(RUN, "")  # restored afterwards
    monkeypatch.delenv(RUN)
    here = collect("cpu")
    assert here.run == here.process and RUN not in os.environ  # nobody began a run
    begin_run()
    assert collect("cpu").run == here.process == elsewhere()[1]
    monkeypatch.setenv(RUN, "night")
    assert collect("cpu").run == "night" == elsewhere()[1]


def test_the_command_line_names_no_folder(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/home/someone/bin/measure", "--quick"])
    assert collect("cpu").command == "measure --quick"
    monkeypatch.setattr("sys.argv", ["/home/me/measure", "--out", "/home/me/records.jsonl"])
    assert collect("cpu").command == "measure --out records.jsonl"
    monkeypatch.setattr("sys.argv", ["/env/ipykernel_launcher.py", "-f", "/tmp/kernel.json"])
    assert collect("cpu").command == "in a notebook"


def test_what_the_device_does_not_tell_is_none():
    answer = "550.54.15, N/A, 1380, ERR!, [N/A], 41, 16160, [Insufficient Permissions], 0x4\n"
    assert nvidia_smi.read_facts(answer) == {
        "driver": "550.54.15",
        "power_limit": None,
        "clock": 1380.0,
        "clock_max": None,
        "memory_clock": None,
        "temperature": 41.0,
        "memory_total": 16160.0,
        "memory_used": None,
        "throttled": "power cap",
    }
    assert set(nvidia_smi.read_facts(", ".join(["ERR!"] * 9)).values()) == {None}


@pytest.fixture
def smi(tmp_path, monkeypatch):
    """Where nvidia-smi would be found, the only program on the PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))
    nvidia_smi._throttle_field.cache_clear()
    yield tmp_path / "nvidia-smi"
    nvidia_smi._throttle_field.cache_clear()


def program(path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_a_part_of_a_gpu_tells_its_driver_alone(smi):
    assert nvidia_smi.facts("GPU-1") == {} and nvidia_smi.cards() == []  # there is no nvidia-smi
    missing = '*--id=*) echo "No devices were found"; exit 6;;'
    program(smi, f'case "$*" in {missing} *) echo 535.1; echo 535.1;; esac')
    assert nvidia_smi.facts("GPU-1") == {"driver": "535.1"}


@pytest.mark.parametrize("renamed", [True, False])
def test_nvidia_smi_is_asked_once_for_each_record(smi, tmp_path, renamed):
    """The name of the field for throttling is looked for once, before."""
    unknown = "" if renamed else '*clocks_event*) echo "not a valid field"; exit 2;;'
    line = "535.1, 300.00, 1380, 1530, 877, 41, 16160, 900, 0x20"
    log = f'echo "$*" >> {tmp_path / "log"}'
    program(smi, f'{log}; case "$*" in {unknown} *) echo "{line}";; esac')
    for _ in range(3):
        facts = nvidia_smi.facts("GPU-1")
        assert facts["throttled"] == "heat (software)" and facts["memory_used"] == 900.0
    assert len((tmp_path / "log").read_text().splitlines()) == 1 + 3


def test_others_on_the_same_gpu_are_noticed():
    def others(used, own):
        return dataclasses.replace(collect("cpu"), memory_used=used, memory_own=own).others_use

    assert others(None, 100.0) is None and others(900.0, None) is None
    assert others(900.0, 400.0) == 0.0  # what is left is this process's context
    assert others(9000.0, 400.0) == 8600.0


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("0x0000000000000000\n", ""),
        ("0x0000000000000001", ""),  # idle: nothing that is measured is held back
        ("0x0000000000000004", "power cap"),
        ("0x0000000000000064", "power cap, heat (software), heat (hardware)"),
        ("[N/A]", None),
        ("", None),
    ],
)
def test_what_holds_the_clocks_down_is_told_in_words(answer, words):
    assert nvidia_smi.read_throttle(answer) == words


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("run table1 --out /home/someone/r.jsonl", "run table1 --out r.jsonl"),
        ("run --out=/home/someone/r.jsonl", "run --out=r.jsonl"),
        ("cannot import 'x' from 'y' (/opt/python/lib/y.py)", "cannot import 'x' from 'y' (y.py)"),
        ("build/records/cpu.jsonl at 3 img/s", "build/records/cpu.jsonl at 3 img/s"),
        ("see https://pytorch.org/docs/stable", "see https://pytorch.org/docs/stable"),
    ],
)
def test_folders_of_a_machine_are_left_out(text, rest):
    assert without_folders(text) == rest


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"device": ""}, "without device"),
        ({"commit": " "}, "without commit"),
        ({"torch": None}, "without torch"),
        ({"date": "yesterday"}, "isoformat"),
        ({"date": "2026-01-01T00:00:00"}, "not in UTC"),
        ({"process": None}, "process is None"),
        ({"run": 7}, "run is 7"),
    ],
)
def test_provenance_that_says_nothing_is_refused(change, reason):
    with pytest.raises(ValueError, match=reason):
        dataclasses.replace(collect("cpu"), **change)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_provenance_of_a_gpu():
    provenance = collect("cuda")
    assert (
        provenance.device == torch.cuda.get_device_name() and provenance.cuda == torch.version.cuda
    )
    assert provenance.driver and provenance.clock_max > 0

"""Files that are whole or absent, and locks: what another user of a folder can and cannot do."""

import os
import subprocess
import sys
import threading

import pytest
from planted import speed

from tresnet_lite.bench.__main__ import main
from tresnet_lite.bench.campaign import read_outcomes
from tresnet_lite.book.freshness import write_if_changed
from tresnet_lite.records import RecordError
from tresnet_lite.records.files import append, append_lines, exclusive, repair, replacing
from tresnet_lite.train.log import forget_after
from tresnet_lite.train.run_folder import ResumeError, RunFolder, write_run

HOLD = """
import sys
from pathlib import Path
from tresnet_lite.records.files import exclusive
with exclusive(Path(sys.argv[1]), ValueError("busy")):
    print("held", flush=True)
    input()
"""
EVENT = '{"event": "step", "step": 1}'
WRITERS = {
    "write_if_changed": lambda path: write_if_changed("new", path),
    "write_run": lambda path: write_run(path, {}),
    "forget_after": lambda path: (path.write_text(f"{EVENT}\n" + EVENT[:8]), forget_after(path, 1)),
    "repair": lambda path: (path.write_text("a\nb"), repair(path, "a")),
}


class Busy(Exception):
    pass


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_a_planted_link_is_not_followed(tmp_path, write):
    """The names that were once the temporary ones, as links to a file of somebody else's."""
    victim, path = tmp_path / "victim", tmp_path / "folder" / "file"
    victim.write_text("mine")
    path.parent.mkdir()
    planted = [path.with_name(name) for name in (".file.tmp", "file.tmp", ".partial-file")]
    for link in planted:
        link.symlink_to(victim)
    write(path)
    assert victim.read_text() == "mine"
    assert sorted(path.parent.iterdir()) == sorted([path, *planted])
    assert not path.is_symlink() and path.stat().st_size


def test_only_this_user_enters_the_folder_of_a_new_file(tmp_path):
    with replacing(tmp_path / "file") as new:
        assert os.path.dirname(new.parent) == str(tmp_path)
        assert new.parent.stat().st_mode & 0o777 == 0o700
        new.write_text("whole")
        assert not (tmp_path / "file").exists()
    assert (tmp_path / "file").read_text() == "whole"
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("mask", [0o022, 0o002, 0o077])
def test_permissions_are_the_users(tmp_path, mask):
    before = os.umask(mask)
    try:
        with replacing(tmp_path / "replaced") as new:
            new.write_text("x")
        append_lines(tmp_path / "appended", ["x"])
    finally:
        os.umask(before)
    for name in ("replaced", "appended"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o666 & ~mask


def test_what_fails_or_writes_nothing_replaces_nothing(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), replacing(path) as new:
        new.write_text("half")
        raise ZeroDivisionError
    with replacing(path):
        pass
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["file"]


def test_writers_of_one_file_do_not_mix(tmp_path):
    path, contents = tmp_path / "file", [character * 100_000 for character in "abcd"]

    def write(content):
        for _ in range(20):
            write_if_changed(content, path)

    threads = [threading.Thread(target=write, args=(content,)) for content in contents]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert not path.exists() or path.read_text() in contents
    assert os.listdir(tmp_path) == ["file"]


def test_a_link_of_the_users_own_stays_one(tmp_path):
    """Who keeps records elsewhere, behind a link, has them repaired there."""
    line, there = '{"suite": "x"}\n', tmp_path / "there"
    there.write_text(f"{line}b")
    (tmp_path / "here").symlink_to(there)
    assert repair(tmp_path / "here") == "b"
    assert (tmp_path / "here").is_symlink() and there.read_text() == line


FOREIGN = {
    "a text": b"my notes\nthe second line",
    "a word": b"x",
    "a json": b'{"version": "1.0.0", "name": "mine"}',
    "a binary": b"\x89PNG\r\n\x1a\n\0",
    "spaces": b"\n\n",
}
CHANGES = {
    "repair": repair,
    "append": lambda path: append(path, speed("table3", "m", "training", 1.0)),
    "append nothing": append,
    "forget_after": lambda path: forget_after(path, 0),
    "a campaign": read_outcomes,
    "a dry run": lambda path: bench_command(path),
    "a lock": lambda path: exclusive(path, RecordError("busy")).__enter__(),
}


def bench_command(path):
    assert main(["run", "stem", "--profile", "smoke", "--dry-run", "--out", str(path)]) == 2
    raise RecordError  # which the command says in a line


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("content", FOREIGN.values(), ids=FOREIGN)
def test_a_file_that_is_not_ours_stays_as_it_is(tmp_path, content, change):
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises((RecordError, ResumeError)):
        change(path)
    assert path.read_bytes() == content and os.listdir(tmp_path) == ["file"]


def test_what_is_ours_is_repaired_however_short_it_was_cut(tmp_path):
    path, line = tmp_path / "file", speed("table3", "m", "training", 1.0).to_json()
    for length in range(1, len(line), 7):
        path.write_text(line[:length])
        assert repair(path) == line[:length] and path.read_text() == ""
    append(path, speed("table3", "m", "training", 1.0))
    assert path.read_text() == f"{line}\n"


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(RecordError, match="pipe is no file"):
        append(tmp_path / "pipe")


def test_a_lock_is_held_against_another_process_and_let_go(tmp_path):
    lock = tmp_path / "run" / ".lock"
    command = [sys.executable, "-c", HOLD, str(lock)]
    with subprocess.Popen(command, stdin=-1, stdout=-1, text=True) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(Busy, match="^wait$"), exclusive(lock, Busy("wait")):
            pass
        other.kill()
    with exclusive(lock, Busy("wait")):
        assert lock.exists()
    assert lock.exists()  # removed, it would let two processes lock two files of one name


def test_a_lock_is_waited_for_where_that_is_wanted(tmp_path):
    """However long the other process holds it; a link in its place is refused all the same."""
    lock, entered = tmp_path / ".lock", threading.Event()

    def wait() -> None:
        with exclusive(lock, Busy("never"), wait=True):
            entered.set()

    with subprocess.Popen([sys.executable, "-c", HOLD, str(lock)], stdin=-1, stdout=-1) as other:
        assert other.stdout.readline() == b"held\n"
        thread = threading.Thread(target=wait)
        thread.start()
        assert not entered.wait(2.5)  # longer than the patience with a process that was killed
        other.stdin.close()
        thread.join(timeout=60)
    assert entered.is_set()
    lock.unlink()
    lock.symlink_to(tmp_path / "victim")
    refused = pytest.raises(Busy, match="a link")
    with refused, exclusive(lock, Busy("never"), wait=True):
        pass


def test_a_link_in_place_of_a_lock_is_refused(tmp_path):
    victim, lock = tmp_path / "victim", tmp_path / "run.lock"
    victim.write_text("mine")
    lock.symlink_to(victim)
    refused = pytest.raises(Busy, match=r"run\.lock cannot be locked .*a link")
    with refused, exclusive(lock, Busy("wait")):
        pass
    assert victim.read_text() == "mine"


def test_a_lock_of_another_user_is_refused_in_a_line(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied", "x")

    monkeypatch.setattr(os, "open", refuse)
    line = r"^\S*\.lock cannot be locked \(Permission denied\)[^\n]*own$"
    with pytest.raises(Busy, match=line), exclusive(tmp_path / "run.lock", Busy("wait")):
        pass


def test_an_error_of_the_work_itself_passes(tmp_path):
    with pytest.raises(OSError, match="disk full"), exclusive(tmp_path / ".lock", Busy("wait")):
        raise OSError("disk full")


def test_what_a_killed_run_was_writing_is_removed(tmp_path):
    left, other = tmp_path / ".last.pt.abc", tmp_path / ".lastly"
    left.mkdir()
    other.mkdir()
    (left / "last.pt").write_bytes(b"half")
    with RunFolder(tmp_path, {}).locked():
        assert not left.exists() and other.exists()

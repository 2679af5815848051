"""Campaigns lose nothing and measure nothing twice, whatever happens to them.

The points are real; the program that measures them is a stand-in that answers from a file, and can
be told to die, to hang, or to wait until several of its kind are at work.
"""

import dataclasses
import json
import re
import signal
import subprocess
import sys
import threading
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import campaign_helpers
import pytest
from campaign_helpers import HERE, Fakes, failure, make_point, record

from tresnet_lite.bench import __main__ as command_line
from tresnet_lite.bench import campaign, suites
from tresnet_lite.bench.campaign import CampaignError, Queue, Slot, done, find_slots, locked, run
from tresnet_lite.records import (
    append,
    failures,
    load,
    store,
)


@pytest.fixture
def fakes(tmp_path) -> Fakes:
    return Fakes(tmp_path)


def test_each_point_is_measured_once_and_a_second_run_has_nothing_to_do(fakes):
    assert fakes.run() == []
    assert sorted(fakes.started) == list("abcdefgh") and fakes.measured() == fakes.expected(
        *"abcdefgh"
    )
    before = fakes.out.read_bytes()
    assert fakes.run() == [] and len(fakes.started) == 8
    assert fakes.out.read_bytes() == before


def test_killed_in_the_middle_it_goes_on_with_nothing_lost_and_nothing_measured_twice(fakes):
    program = (
        "import sys; from pathlib import Path\n"
        "sys.path.insert(0, sys.argv[1]); from campaign_helpers import Fakes\n"
        "Fakes(Path(sys.argv[2])).run()"
    )
    folders = [str(folder) for folder in (Path(campaign_helpers.__file__).parent, fakes.folder)]
    with subprocess.Popen([sys.executable, "-c", program, *folders]) as campaign:
        while not fakes.out.exists() or fakes.out.read_bytes().count(b"\n") < 4:
            assert campaign.poll() is None
            time.sleep(0.01)
        campaign.send_signal(signal.SIGKILL)
    before = fakes.out.read_bytes()
    finished = {r.model for r in load(fakes.out)}
    assert 2 <= len(finished) < 8
    assert fakes.run() == []
    assert fakes.out.read_bytes().startswith(before)
    assert fakes.measured() == fakes.expected(*"abcdefgh")  # every record, each once
    assert all(fakes.started.count(name) == 1 for name in finished)


def test_a_line_that_a_killed_campaign_left_half_is_removed_and_its_point_measured(fakes, capsys):
    fakes.out.write_text(record(fakes.points[0]).to_json()[:-40])
    fakes.run()
    assert "removed a half-written line" in capsys.readouterr().err
    assert fakes.measured() == fakes.expected(*"abcdefgh")


def test_a_file_that_holds_no_records_is_refused_and_left_alone(fakes):
    doctored = record(fakes.points[0]).to_json().replace("2.0", "9.0") + "\n"
    fakes.out.write_text(doctored)
    with pytest.raises(ValueError, match="records.jsonl:1: the digest does not fit"):
        fakes.run()
    assert fakes.out.read_text() == doctored and fakes.started == []


def test_a_point_that_fails_is_a_result_and_the_others_go_on(fakes):
    fakes.answer(c="fail", e="die")
    told = []
    assert fakes.run(tell=lambda outcome, queue: told.append(str(outcome))) == []
    assert fakes.measured() == fakes.expected(*"abcdfgh")
    died, full = sorted(failures(fakes.out), key=lambda f: f.error)
    assert (died.model, died.error) == ("e", "died") and died.provenance.device == HERE.device
    assert died.message == "exit status 1: libcudart.so: the device fell off the bus"
    assert full == failure(fakes.points[2])
    assert sum("FAILED" in line for line in told) == 2 and len(told) == 8


def test_failures_are_tried_again_only_when_asked_for(fakes):
    fakes.answer(c="fail", e="die")
    fakes.run()
    fakes.run()
    assert len(fakes.started) == 8
    fakes.answer()
    fakes.run(retry_errors=True)
    assert fakes.started[8:] in (["c", "e"], ["e", "c"]) and failures(fakes.out) == []
    fakes.run(retry_errors=True)
    assert len(fakes.started) == 10


def test_a_point_that_answers_nonsense_is_a_failure(fakes):
    answers = json.loads((fakes.folder / "answers.json").read_text())
    answers["a"]["lines"] = ["Segmentation fault"]
    (fakes.folder / "answers.json").write_text(json.dumps(answers))
    fakes.run()
    (wrong,) = failures(fakes.out)
    assert (wrong.model, wrong.error) == ("a", "no records") and "not JSON" in wrong.message


def test_a_point_that_hangs_is_given_up(fakes, monkeypatch):
    # 60 s estimated: 0.6 s of patience
    monkeypatch.setattr("tresnet_lite.bench.campaign.PATIENCE", -4.99)
    fakes.points = fakes.points[:2]
    fakes.answer(a="hang")
    fakes.run()
    assert {f.model: f.error for f in failures(fakes.out)}["a"] == "timeout"


def test_two_devices_measure_at_the_same_time(fakes):
    """Each stand-in waits for the other: one after the other they would never end."""
    fakes.points = fakes.points[:2]
    fakes.answer(a="meet", b="meet")
    slots = [Slot({"CUDA_VISIBLE_DEVICES": gpu}, HERE.device) for gpu in ("0", "1")]
    assert fakes.run(slots=slots) == []
    assert fakes.measured() == fakes.expected("a", "b")
    assert {path.name[-1] for path in fakes.folder.glob("meet-*")} == {"0", "1"}


def test_what_was_measured_on_another_device_is_measured_here_too(fakes):
    p = fakes.points[0]
    elsewhere = dataclasses.replace(HERE, device="Imaginary GPU")
    append(fakes.out, dataclasses.replace(record(p), provenance=elsewhere))
    fakes.points = [p]
    fakes.run()
    assert fakes.started == ["a"]


def test_at_the_time_limit_what_is_running_is_given_up_and_left(fakes):
    fakes.points = [
        dataclasses.replace(p, seconds=0.1, priority=i) for i, p in enumerate(fakes.points[:3])
    ]
    fakes.answer(a="hang")
    assert fakes.run(minutes=1 / 60) == fakes.points
    assert not fakes.out.exists()
    fakes.answer()
    assert fakes.run() == [] and fakes.measured() == fakes.expected(*"abc")


def test_a_point_that_would_not_end_in_time_is_not_begun(fakes):
    long, short = (
        dataclasses.replace(p, seconds=s) for p, s in zip(fakes.points, (3600.0, 0.1), strict=False)
    )
    fakes.points = [long, short]
    assert fakes.run(minutes=1) == [long]
    assert fakes.started == ["b"]


def test_the_most_valuable_come_first_and_equals_in_random_order():
    points = [make_point(f"{i}", priority=i // 10) for i in range(30)]
    orders = [[p.model for p in Queue.shuffled(points, seed).points] for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]
    for order in orders:
        assert [int(name) // 10 for name in order] == [0] * 10 + [1] * 10 + [2] * 10
        assert order != [p.model for p in points]


def test_the_time_left_follows_the_pace():
    queue = Queue([make_point("a", seconds=10.0), make_point("b", seconds=30.0)])
    assert queue.seconds_left == 40.0
    queue.learn(queue.take(), 20.0)  # twice as long as estimated
    assert queue.seconds_left == 60.0


def moments(points, run="a run", **minutes: float) -> list:
    """A record of each point, made so many minutes after noon."""
    lines = []
    for p in points:
        if p.model in minutes:
            moment = datetime(2026, 1, 2, 12, tzinfo=timezone.utc)
            moment += timedelta(minutes=minutes[p.model])
            here = dataclasses.replace(HERE, date=moment.isoformat(), run=run)
            lines.append(dataclasses.replace(record(p), provenance=here))
    return lines


def test_the_pace_is_that_of_what_has_run():
    """Points estimated at a minute: most took three, the first of another campaign came late."""
    points = [make_point(name) for name in "abcdefgh"]
    assert {p.seconds for p in points} == {60.0}
    lines = moments(points, a=0, b=3, c=6, d=7, e=10) + moments(points, "another", f=0, g=55, h=58)
    assert campaign.pace_of(lines, points) == 3.0
    assert campaign.pace_of(lines[:4], points) == 1.0  # three tell too little
    assert campaign.pace_of(lines, points[:1]) == 1.0


def test_what_is_said_before_a_run_follows_the_pace(stand_in, capsys):
    append(stand_in.out, *moments(stand_in.points, a=0, b=3, c=6, d=9, e=12))
    assert main(stand_in, "--dry-run") == 0
    told = "8 points, 5 of them done; the others may take 9 min"
    assert told in capsys.readouterr().out
    assert main(stand_in) == 0
    assert told in capsys.readouterr().out


def test_an_error_of_the_campaign_itself_stops_every_device(fakes):
    fakes.answer(a="hang")

    def disk_full(*_):
        raise OSError("no space left on device")

    slots = [fakes.slot, fakes.slot]
    with pytest.raises(OSError, match="no space left"):
        fakes.run(slots=slots, tell=disk_full)  # the point that hangs is ended with the rest


def test_two_campaigns_do_not_write_one_file(fakes):
    entered, leave = threading.Event(), threading.Event()

    def other() -> None:
        with locked(fakes.out):
            entered.set()
            leave.wait()

    thread = threading.Thread(target=other)
    thread.start()
    entered.wait()
    with pytest.raises(CampaignError, match="another campaign is writing .*records.jsonl"):
        fakes.run()
    leave.set()
    thread.join()
    assert fakes.run() == []


def test_a_gpu_that_is_not_there_is_named(tmp_path):
    script = tmp_path / "probe.py"
    script.write_text("import sys; sys.exit('RuntimeError: no CUDA-capable device is detected')")
    with pytest.raises(CampaignError, match="GPU 7 cannot be used: RuntimeError: no CUDA-capable"):
        find_slots("cuda", ["7"], (sys.executable, str(script)))
    script.write_text('print(\'{"device": "A GPU"}\')')
    slots = find_slots("cuda", ["0", "3"], (sys.executable, str(script)))
    assert [(slot.environment["CUDA_VISIBLE_DEVICES"], slot.device) for slot in slots] == [
        ("0", "A GPU"),
        ("3", "A GPU"),
    ]
    script.write_text(
        "import os; print('{\"device\": \"GPU ' + os.environ['CUDA_VISIBLE_DEVICES'] + '\"}')"
    )
    with pytest.raises(CampaignError, match=r"these GPUs differ \(GPU 0, GPU 3\), and a table"):
        find_slots("cuda", ["0", "3"], (sys.executable, str(script)))
    with pytest.raises(CampaignError, match="--gpus goes with --profile gpu"):
        find_slots("cpu", ["0"])


ROUNDS = """
import json, os, pathlib, sys
for line in sys.stdin:
    job = json.loads(line)
    with open(sys.argv[1], "a") as log:
        log.write(f"{job['point']['model']} {os.getpid()}\\n")
    answers = json.loads(pathlib.Path(sys.argv[2]).read_text())
    print(*answers[job["point"]["model"]]["lines"], sep="\\n")
    if not job["more"]:
        break
    print("done", flush=True)
"""


@pytest.mark.parametrize("ahead", [False, True])
def test_one_process_of_a_gpu_measures_a_round(tmp_path, ahead):
    """Points of one round share a process, a failure ends it, and others have one of their own."""
    fakes = Fakes(tmp_path, "abcdef", b="fail")
    rounds = {"a": 1, "b": 1, "c": 1, "d": 2, "e": 2, "f": 0}
    fakes.points = [
        dataclasses.replace(p, process=rounds[p.model], priority=place)
        for place, p in enumerate(fakes.points)
    ]
    fakes.answer(b="fail")
    script, log = tmp_path / "rounds.py", tmp_path / "log"
    script.write_text(ROUNDS)
    fakes.command = (sys.executable, "-S", str(script), str(log), str(tmp_path / "answers.json"))
    assert fakes.run(slots=[Slot({}, HERE.device, shared=True, ahead=ahead)]) == []
    pid = dict(line.split() for line in log.read_text().splitlines())
    assert pid["a"] == pid["b"] and pid["d"] == pid["e"]
    assert len({pid["a"], pid["c"], pid["d"], pid["f"]}) == 4
    assert fakes.measured() == fakes.expected(*"abcdef")


# The command line.


@pytest.fixture
def stand_in(fakes, monkeypatch) -> Fakes:
    """The command line with the stand-in's points and program in place of the real ones."""
    monkeypatch.setattr(suites, "points", lambda *_, **__: fakes.points)
    monkeypatch.setattr(
        campaign.run, "__kwdefaults__", run.__kwdefaults__ | {"command": fakes.command}
    )
    return fakes


def main(fakes: Fakes, *arguments: str) -> int:
    return command_line.main(
        ["run", "table1", "--profile", "cpu", "--out", str(fakes.out), *arguments]
    )


def test_a_dry_run_lists_the_points_and_measures_nothing(stand_in, capsys):
    append(stand_in.out, record(stand_in.points[0]))
    assert main(stand_in, "--dry-run") == 0
    out = capsys.readouterr().out
    assert re.search(r"  done  table1: speed, a, 32 px", out) and re.search(
        r"  60 s  table1: speed, b, 32 px", out
    )
    assert "8 points, 1 of them done; the others may take 7 min" in out
    assert stand_in.started == []


def test_a_run_tells_of_each_point_and_failures_are_no_error(stand_in, capsys):
    stand_in.answer(b="fail")
    assert main(stand_in) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len([line for line in lines if "min left]" in line]) == 8
    assert "8 points measured, 1 of them failed; 8 of 8 are done" in lines


def test_the_command_says_what_is_left(stand_in, capsys):
    assert main(stand_in, "--minutes", "0") == 0
    out = capsys.readouterr().out
    assert "left, about 8 min" in out and "0 of 8 are done" in out and "speed, h, 32 px" in out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["run", "table2"], "no suite table2: there are table1"),
        (["run", "table1", "--profile", "cpu", "--models", "vgg"], "no model vgg: there are"),
        (["run", "table1", "--profile", "cpu", "--gpus", "0"], "--gpus goes with --profile gpu"),
        (["run", "table1", "--memory-cap", "-3"], "--memory-cap is -3"),
    ],
)
def test_misuse_is_told_in_a_line(arguments, says, capsys):
    assert command_line.main(arguments) == 2
    assert says in capsys.readouterr().err


def test_an_interrupted_run_says_that_it_can_go_on(stand_in, monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(campaign, "run", interrupted)
    assert main(stand_in) == 130
    assert "goes on from there" in capsys.readouterr().err


def test_the_list_names_every_suite(capsys):
    assert command_line.main(["list", "--profile", "gpu"]) == 0
    listed = re.findall(
        r"^(\w+) +\d+ points, about \d+ min$", capsys.readouterr().out, re.MULTILINE
    )
    assert listed == [*suites.SUITES, "paper"]


def test_records_go_where_the_notebooks_records_go(stand_in, monkeypatch, tmp_path):
    monkeypatch.setenv(store.VARIABLE, str(tmp_path / "r.jsonl"))
    assert command_line.main(["run", "table1", "--profile", "cpu"]) == 0
    assert {r.model for r in load(tmp_path / "r.jsonl")} == set("abcdefgh")
    assert not stand_in.out.exists()


def test_done_looks_at_the_last_line_of_a_point():
    a, b = make_point("a"), make_point("b")
    lines = [failure(a), record(a), record(b), failure(b)]
    assert done(lines, {HERE.device}) == {a.id, b.id}
    assert done(lines, {HERE.device}, retry_errors=True) == {a.id}
    assert done(lines, {"another"}) == set() and done(lines, None) == {a.id, b.id}


def test_a_campaign_needs_no_jupyter():
    program = (
        "import sys, tresnet_lite.bench.__main__, tresnet_lite.bench.point; print(*sys.modules)"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"IPython", "papermill", "nbformat", "matplotlib", "submitit"} & set(loaded)

"""Measure many points, each in a fresh process, and keep every record as soon as it is there.

Points of one priority are taken in random order, so that a drift of the machine falls on no model
in particular. With several GPUs each takes the next point. A campaign that is stopped, in whatever
way, goes on where it was: a point is done once its records, or its failure, are in the file.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field, replace
from itertools import pairwise
from pathlib import Path

from tresnet_lite.bench.gpus import VISIBLE, allotted
from tresnet_lite.bench.suites import DONE, Point
from tresnet_lite.records import Failure, Record, append, collect, files, repair
from tresnet_lite.records.provenance import begin_run, without_folders
from tresnet_lite.records.records import from_json
from tresnet_lite.records.text import LONGEST_MESSAGE, clean, say

COMMAND = (sys.executable, "-m", "tresnet_lite.bench.point")
END = f"{DONE}\n".encode()
CORES_AHEAD = 4  # of the processor, from which a GPU's next process starts early
PATIENCE = 10.0  # times its estimate, a point may take; and five minutes
FEW = 3  # points whose times tell nothing yet of the others'


class CampaignError(RuntimeError):
    """The campaign cannot begin: the message says why."""


@dataclass(frozen=True)
class Slot:
    """A place that measures one point at a time: environment variables, and its device's name.

    `shared`: one process measures all comparisons of a round. `ahead`: the next process is started
    while one is at work, which a GPU beside some processor cores does not feel.
    """

    environment: Mapping[str, str]
    device: str
    shared: bool = False
    ahead: bool = False


@dataclass(frozen=True)
class Outcome:
    """A point that is over: what came of it and how many seconds it took."""

    point: Point
    lines: Sequence[Record | Failure]
    seconds: float

    @property
    def failed(self) -> bool:
        return any(isinstance(line, Failure) for line in self.lines)

    def __str__(self) -> str:
        failures = [line for line in self.lines if isinstance(line, Failure)]
        end = f"FAILED, {failures[0].error}: {failures[0].message}" if failures else "done"
        return f"{self.point.id}: {self.seconds:.0f} s, {end}"


def find_slots(
    device: str, gpus: Sequence[str] = (), command: Sequence[str] = COMMAND
) -> list[Slot]:
    """The places to measure in: the CPU, or each GPU named; by default the first visible one.

    A GPU is tried by a process of its own: one that has used a GPU keeps a part of its memory.

    Raises:
        ValueError: what `allotted` refuses.
        CampaignError: a GPU that is not there, that this torch cannot use, or that is of another
            kind than the first.
    """
    if device == "cpu":
        if gpus:
            raise CampaignError("this profile measures the CPU: --gpus goes with --profile gpu")
        return [Slot({}, collect("cpu").device)]
    environments = [{VISIBLE: gpu} for gpu in allotted(gpus)] or [{}]
    ahead = (os.cpu_count() or 1) >= CORES_AHEAD
    options = {"shared": True, "ahead": ahead}
    slots = [Slot(env, _probe(device, env, command), **options) for env in environments]
    if len(kinds := {slot.device for slot in slots}) > 1:
        why = "a table is measured on one kind: take one after the other, each with its --out"
        raise CampaignError(f"these GPUs differ ({', '.join(sorted(kinds))}), and {why}")
    return slots


def _probe(device: str, environment: Mapping[str, str], command: Sequence[str]) -> str:
    """The name of a device, from a process that has computed on it."""
    job = json.dumps({"probe": device}) + "\n"
    env = {**os.environ, **environment}
    answer = subprocess.run(command, input=job, capture_output=True, text=True, env=env)
    if answer.returncode:
        where = f"GPU {environment['CUDA_VISIBLE_DEVICES']}" if environment else "the GPU"
        raise CampaignError(f"{where} cannot be used: {_last_line(answer.stderr)}")
    return json.loads(answer.stdout)["device"]


def done(
    lines: Iterable[Record | Failure], devices: set[str] | None, *, retry_errors: bool = False
) -> set[str]:
    """The ids of the points that have a line from one of `devices` (None: from any).

    With `retry_errors` not those whose last line is a failure; a campaign writes a point's failures
    last.
    """
    ours = (line for line in lines if devices is None or line.provenance.device in devices)
    last = {line.point: line for line in ours}
    failed = {point for point, line in last.items() if isinstance(line, Failure)}
    return set(last) - failed if retry_errors else set(last)


def read_outcomes(path: Path) -> list[Record | Failure]:
    """All lines of a file, if it exists; a half-written one, of a killed campaign, is removed."""
    if not path.exists():
        return []
    if repair(path):
        say(f"{path}: removed a half-written line, which a killed run had left", file=sys.stderr)
    return files.read(path)


def pace_of(lines: Iterable[Record | Failure], points: Iterable[Point]) -> float:
    """How long points took, over their estimates, by the dates in a file; 1.0 where few tell.

    Within a run a point took the time since the one before it was over. The median of the points:
    between two of a notebook's campaigns lies more than a point.
    """
    estimates = {point.id: point.seconds for point in points}
    ends: dict[str, dict[str, float]] = {}  # run → point → when its last line was written
    for line in lines:
        of_run = ends.setdefault(line.provenance.run, {})
        of_run.pop(line.point, None)
        of_run[line.point] = line.provenance.moment.timestamp()
    paces = [
        (over - before) / estimates[point]
        for of_run in ends.values()
        for (_, before), (point, over) in pairwise(of_run.items())
        if point in estimates and over > before  # dates have whole seconds
    ]
    return statistics.median(paces) if len(paces) > FEW else 1.0


def locked(path: Path) -> contextlib.AbstractContextManager[None]:
    """Hold the file of records against another campaign, at most until this process ends."""
    busy = f"another campaign is writing {path}: give another --out, or wait for it"
    return files.exclusive(Path(f"{path}.lock"), CampaignError(busy))


@dataclass
class Queue:
    """The points that are left, the estimates corrected by how long the finished ones took."""

    points: list[Point]
    deadline: float = float("inf")  # by time.monotonic
    planned: float = 0.0
    taken: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def shuffled(cls, points: Iterable[Point], seed: int, deadline: float = float("inf")) -> Queue:
        """By priority, and in random order within one."""
        points = list(points)
        random.Random(seed).shuffle(points)
        return cls(sorted(points, key=lambda p: p.priority), deadline)

    @property
    def pace(self) -> float:
        """How long points take, over their estimates."""
        return self.taken / self.planned if self.planned else 1.0

    @property
    def seconds_left(self) -> float:
        return self.pace * sum(point.seconds for point in self.points)

    def take(self) -> Point | None:
        """The first point that is likely to end before the deadline; None if there is none."""
        with self._lock:
            left = self.deadline - time.monotonic()
            point = next((p for p in self.points if self.pace * p.seconds <= left), None)
            if point is not None:
                self.points.remove(point)
            return point

    def give_back(self, point: Point) -> None:
        with self._lock:
            self.points.insert(0, point)

    def learn(self, point: Point, seconds: float) -> None:
        with self._lock:
            self.planned += point.seconds
            self.taken += seconds


def run(
    points: Iterable[Point],
    out: Path,
    slots: Sequence[Slot],
    *,
    minutes: float | None = None,
    retry_errors: bool = False,
    seed: int = 0,
    command: Sequence[str] = COMMAND,
    tell: Callable[[Outcome, Queue], None] = lambda outcome, queue: None,
) -> list[Point]:
    """Measure the points that are not done yet, append their records to `out`, return the rest.

    Args:
        minutes: stop then; what is running is given up, to be measured another time.
        retry_errors: measure again what failed before.
        seed: of the order.
        command: the program that measures a point.
        tell: called after each point.

    Raises:
        CampaignError: another campaign is writing `out`.
        RecordError: `out` holds what is no record.
    """
    begin_run()  # which the processes that measure inherit
    deadline = time.monotonic() + 60 * minutes if minutes is not None else float("inf")
    with locked(out):
        over = done(read_outcomes(out), {slot.device for slot in slots}, retry_errors=retry_errors)
        queue = Queue.shuffled((p for p in points if p.id not in over), seed, deadline)
        writing, stop = threading.Lock(), threading.Event()

        def work(slot: Slot) -> None:
            with Workers(slot, command) as workers:
                while not stop.is_set() and (point := queue.take()) is not None:
                    worker = workers.for_point(point)
                    outcome = measure_point(point, slot, worker, stop, deadline)
                    if outcome is None:
                        queue.give_back(point)
                        continue
                    queue.learn(point, outcome.seconds)
                    with writing:
                        append(out, *sorted(outcome.lines, key=lambda x: isinstance(x, Failure)))
                        tell(outcome, queue)

        _work_together(work, slots, stop)
        return queue.points


def _work_together(
    work: Callable[[Slot], None], slots: Sequence[Slot], stop: threading.Event
) -> None:
    """One thread for each slot; an error in one, or an interruption, stops all and their work."""
    with ThreadPoolExecutor(len(slots)) as pool:
        try:
            for finished in as_completed([pool.submit(work, slot) for slot in slots]):
                finished.result()
        finally:
            stop.set()


class Worker:
    """A process that measures points, one after the other, as they are given to it."""

    def __init__(self, slot: Slot, command: Sequence[str]) -> None:
        self.scratch = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        cache = {"TORCHINDUCTOR_CACHE_DIR": f"{self.scratch.name}/cache"}
        environment = {**os.environ, **slot.environment, **cache}
        self.output, self.messages = (Path(self.scratch.name, name) for name in ("out", "err"))
        with self.output.open("wb") as out, self.messages.open("wb") as err:
            streams = {"stdin": subprocess.PIPE, "stdout": out, "stderr": err}
            self.process = subprocess.Popen(command, **streams, env=environment)
        self.more, self.round, self.read = False, 0, 0

    def give(self, point: Point, more: bool) -> None:
        """Hand over a point. Standard input stays open: its end says that the campaign is gone."""
        self.more, self.round = more, point.process
        job = {"point": asdict(point), "command": _command_line(), "more": more}
        with contextlib.suppress(BrokenPipeError):  # it died already, and will be asked why
            self.process.stdin.write(json.dumps(job).encode() + b"\n")
            self.process.stdin.flush()

    def answer(self) -> str | None:
        """What it wrote about the last point, as soon as that is over; None until then."""
        over = self.process.poll() is not None
        written = self.output.read_bytes()[self.read :]
        if not over and not (self.more and written.endswith(END)):
            return None
        self.read += len(written)
        return written.removesuffix(END).decode("utf-8", errors="replace")

    def end(self) -> None:
        self.process.kill()
        self.process.stdin.close()
        self.process.wait()
        self.scratch.cleanup()


class Workers(contextlib.AbstractContextManager):
    """The processes of a slot: a fresh one for each point, but where the slot lends one again.

    On a GPU one process measures all comparisons of a round, so that what cuDNN found out about a
    convolution serves all of them.
    """

    def __init__(self, slot: Slot, command: Sequence[str]) -> None:
        self.slot, self.command = slot, command
        self.current: Worker | None = None
        self.waiting: Worker | None = None

    def for_point(self, point: Point) -> Worker:
        """A worker that has been given the point."""
        shared = self.slot.shared and point.process > 0
        if not (shared and self.current and self._goes_on(self.current, point)):
            if self.current:
                self.current.end()
            self.current = self.waiting or Worker(self.slot, self.command)
            # The next one's imports take no time of the device.
            self.waiting = Worker(self.slot, self.command) if self.slot.ahead else None
        self.current.give(point, more=shared)
        return self.current

    @staticmethod
    def _goes_on(worker: Worker, point: Point) -> bool:
        return worker.more and worker.round == point.process and worker.process.poll() is None

    def __exit__(self, *_: object) -> None:
        for worker in filter(None, (self.current, self.waiting)):
            worker.end()


def measure_point(
    point: Point, slot: Slot, worker: Worker, stop: threading.Event, deadline: float
) -> Outcome | None:
    """What a worker makes of a point that it was given; None if it was stopped."""
    start = time.monotonic()
    patience = start + PATIENCE * point.seconds + 300
    end = min(deadline, patience)
    while (answer := worker.answer()) is None and not stop.is_set() and time.monotonic() < end:
        time.sleep(0.05)
    seconds = time.monotonic() - start
    if answer is not None:
        messages = worker.messages.read_text(encoding="utf-8", errors="replace")
        lines = _understand(point, slot, worker.process.poll() or 0, answer, messages)
    else:
        worker.end()
        if time.monotonic() < patience:
            return None
        lines = failures_of(point, slot, "timeout", f"gave no answer for {seconds:.0f} s")
    outcome = Outcome(point, lines, seconds)
    if outcome.failed:  # it may have spoilt more than the point
        worker.more = False
    return outcome


def _understand(
    point: Point, slot: Slot, status: int, output: str, messages: str
) -> Sequence[Record | Failure]:
    """The lines that a process wrote; a failure where it died or wrote none."""
    if status:
        return failures_of(point, slot, "died", f"exit status {status}: {_last_line(messages)}")
    try:
        lines = [from_json(line) for line in output.splitlines()]
    except ValueError as error:
        return failures_of(point, slot, "no records", str(error))
    return lines or failures_of(point, slot, "no records", _last_line(messages))


def failures_of(point: Point, slot: Slot, error: str, message: str) -> list[Failure]:
    """The failure of a process that could not tell of itself, with this process's provenance."""
    here = replace(collect("cpu"), device=slot.device, command=_command_line())
    message = clean(message, LONGEST_MESSAGE)
    what = (point.case, point.model, "", error, message, point.id, here)
    return [Failure(suite, *what) for suite in point.suites]


def _last_line(text: str) -> str:
    lines = text.strip().splitlines() or ["it said nothing"]
    return without_folders(lines[-1].strip())[:500]


def _command_line() -> str:
    command = collect("cpu").command.replace("__main__.py", "python -m tresnet_lite.bench", 1)
    return clean(command)  # it has become longer

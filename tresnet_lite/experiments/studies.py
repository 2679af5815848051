"""Studies: variants of a small network, trained from several seeds, each network a record.

What was trained before is not trained again, and an interruption loses nothing. Afterwards variants
are compared seed by seed (`findings.statistics`).
"""

from __future__ import annotations

import hashlib
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import dataclass, replace
from itertools import pairwise, takewhile
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import ClassVar

import torch
from tqdm import tqdm

from tresnet_lite.bench.campaign import read_outcomes
from tresnet_lite.bench.suites import device_kind
from tresnet_lite.experiments.campaigns import taking_turns
from tresnet_lite.experiments.small_training import one_thread
from tresnet_lite.profiles import Profile, Training
from tresnet_lite.records import Conditions, Failure, Record, Spread, append, collect, store
from tresnet_lite.records.provenance import begin_run, device_name
from tresnet_lite.records.store import Measured
from tresnet_lite.records.text import plural
from tresnet_lite.train.engine import NonFiniteLoss, duration

# Processes that train at once, at most; on a GPU each has a context of its own, and the images.
AT_ONCE = {"cpu": 8, "cuda": 4}


@dataclass(frozen=True)
class Study(ABC):
    """Variants of a small network, trained alike on one set of images.

    A chapter's study says which variants there are and how one is trained. Other processes get a
    copy of it, so it holds settings alone and looks the images up.

    Raises:
        ValueError: no seed, or no epoch.
    """

    training: Training
    suite: ClassVar[str]

    def __post_init__(self) -> None:
        for name in ("seeds", "epochs"):
            value = getattr(self.training, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} is {value!r}: it must be a whole number, 1 or more")

    @property
    @abstractmethod
    def case(self) -> str:
        """The images and how long to train on them, in words: what records are filed under."""

    @abstractmethod
    def variants(self) -> list[str]:
        """What is compared, the most wanted first."""

    @abstractmethod
    def identity(self, variant: str) -> str:
        """All that decides a variant's result and is not in `case`."""

    @abstractmethod
    def train(self, variant: str, seed: int, device: str) -> tuple[float, Conditions]:
        """Train one network: its accuracy on the held-out images, in per cent, and how it ran.

        Raises:
            NonFiniteLoss: the network diverged.
        """

    def point(self, variant: str, seed: int) -> str:
        """What makes two trainings the same; it holds a digest of `identity`."""
        digest = hashlib.sha256(self.identity(variant).encode()).hexdigest()[:8]
        return f"{self.case}, seed {seed}, {variant} ({digest})"

    def outcome(self, variant: str, seed: int, device: str) -> Record | Failure:
        """Train one network and put its accuracy, or that it diverged, on record."""
        about = {
            "suite": self.suite,
            "case": self.case,
            "seed": seed,
            "model": variant,
            "phase": "training",
            "point": self.point(variant, seed),
            "provenance": collect(device),
        }
        try:
            top1, conditions = self.train(variant, seed, device)
        except NonFiniteLoss as error:
            return Failure(error="diverged", message=str(error), **about)
        return Record(metric="top1", value=Spread.over([top1]), conditions=conditions, **about)

    def timed_outcome(self, variant: str, seed: int, device: str) -> Outcome:
        """`outcome`, and how many seconds it took."""
        start = time.monotonic()
        line = self.outcome(variant, seed, device)
        return line, time.monotonic() - start


Task = tuple[Study, str, int]  # a study, one of its variants, a seed
Outcome = tuple[Record | Failure, float]  # a network's line, and the seconds that it took


def tasks(studies: Sequence[Study]) -> list[Task]:
    """Every network, all of one seed before the next, so that what is finished can be compared."""
    networks = []
    for seed in range(max(study.training.seeds for study in studies)):
        for study in studies:
            if seed < study.training.seeds:
                networks += [(study, variant, seed) for variant in study.variants()]
    return networks


@dataclass
class Progress:
    """The networks that are left, by point, and how long trainings took, by case, in seconds."""

    left: dict[str, Task]
    taken: dict[str, list[float]]
    workers: int

    def note(self, line: Record | Failure, seconds: float) -> None:
        """One network less."""
        del self.left[line.point]
        self.taken.setdefault(line.case, []).append(seconds)

    @property
    def time_left(self) -> str:
        """ "about 12 min"; empty while there are images that no network was trained on yet."""
        cases = [study.case for study, _, _ in self.left.values()]
        if not cases or not set(cases) <= set(self.taken):
            return ""
        return f"about {duration(sum(median(self.taken[case]) for case in cases) / self.workers)}"


def seconds_taken(records: Iterable[Record]) -> dict[str, list[float]]:
    """Case → how long each training took, by the dates of earlier records.

    A process trains one network after the other, and a record's date is its training's start.
    """
    by_process: dict[str, list[Record]] = {}
    for record in sorted(records, key=lambda r: r.provenance.moment):
        by_process.setdefault(record.provenance.process, []).append(record)
    taken: dict[str, list[float]] = {}
    for trained in by_process.values():
        for record, after in pairwise(trained):
            passed = after.provenance.moment - record.provenance.moment
            taken.setdefault(record.case, []).append(passed.total_seconds())
    return taken


def train_studies(
    studies: Sequence[Study], profile: Profile, *, minutes: float | None = None
) -> Measured:
    """Train what this machine's file of records lacks, and append each outcome when it is ready.

    Args:
        studies: of one suite.
        minutes: begin no training after that; the next call goes on from there.

    Returns:
        all records and failures of the suite, the committed ones first.
    """
    out, suite = store.machine_file(profile.name), studies[0].suite
    workers = _workers(profile)
    with taking_turns(out), one_thread():  # the chapters that time would measure this load
        device = device_name(profile.device)
        ours = [line for line in read_outcomes(out) if isinstance(line, Record)]
        ours = [r for r in ours if r.suite == suite and r.provenance.device == device]
        known = {record.point for record in ours}
        networks = {
            study.point(variant, seed): (study, variant, seed)
            for study, variant, seed in tasks(studies)
        }
        left = {point: task for point, task in networks.items() if point not in known}
        progress = Progress(left, seconds_taken(ours), workers)
        counts = f"{plural(len(networks), 'network')}, {len(networks) - len(left)} of them"
        rest = f"; the others take {progress.time_left}" if progress.time_left else ""
        print(f"{counts} trained before{rest}", flush=True)
        end = time.monotonic() + 60 * (math.inf if minutes is None else minutes)
        _train(progress, out, profile.device, end)
        if left:
            print(f"{plural(len(left), 'network')} left for another time")
    return store.measured(out, suite)


def _train(progress: Progress, out: Path, device: str, end: float) -> None:
    """Train what is left; after 1, 2, 4, … networks a line says how long the others take."""
    missing = list(progress.left.values())
    lines = outcomes(missing, device, progress.workers, end)
    next_line = 1
    bar = tqdm(lines, total=len(missing), unit="network", disable=None)
    for done, (line, seconds) in enumerate(bar, 1):
        append(out, line)
        progress.note(line, seconds)
        if done >= next_line and progress.time_left:
            print(f"{done} of {len(missing)} trained, {progress.time_left} left", flush=True)
            next_line = 2 * done


def outcomes(networks: Sequence[Task], device: str, workers: int, end: float) -> Iterator[Outcome]:
    """Outcomes as they come; no training begins after `end`, and none that has begun is lost."""
    begun = takewhile(lambda _: time.monotonic() < end, networks)
    if workers == 1:
        yield from (study.timed_outcome(variant, seed, device) for study, variant, seed in begun)
        return
    begin_run()  # which the other processes inherit
    running = set()
    options = {"initializer": torch.set_num_threads, "initargs": (1,)}
    with ProcessPoolExecutor(workers, get_context("spawn"), **options) as pool:
        while True:
            while len(running) < workers and (task := next(begun, None)):
                study, variant, seed = task
                running.add(pool.submit(study.timed_outcome, variant, seed, device))
            if not running:
                return
            finished, running = wait(running, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in finished)


def _workers(profile: Profile) -> int:
    """Processes that train: one for each thread that PyTorch would use, up to `AT_ONCE`.

    On a GPU too: a small network leaves it idle while the host augments images and starts kernels.
    """
    if profile.trial:  # which is over in seconds
        return 1
    return min(torch.get_num_threads(), AT_ONCE[device_kind(profile)])


def adjusted(training: Training, **settings: float | None) -> Training:
    """A training with settings of one's own; None leaves the training's."""
    return replace(training, **{key: value for key, value in settings.items() if value is not None})

"""Studies: variants of a small network, trained from several seeds, each network a record.

What was trained before is not trained again, and an interruption loses nothing. Afterwards variants
are compared seed by seed (`findings.statistics`).
"""

from __future__ import annotations

import hashlib
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import dataclass, replace
from itertools import takewhile
from multiprocessing import get_context
from typing import ClassVar

import torch
from filelock import FileLock
from tqdm import tqdm

from tresnet_lite.bench.campaign import read_outcomes
from tresnet_lite.experiments.small_training import one_thread
from tresnet_lite.profiles import Profile, Training
from tresnet_lite.records import Conditions, Failure, Record, Spread, append, collect, store
from tresnet_lite.records.provenance import begin_run, device_name
from tresnet_lite.records.store import Measured
from tresnet_lite.train.engine import NonFiniteLoss


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


Task = tuple[Study, str, int]  # a study, one of its variants, a seed


def tasks(studies: Sequence[Study]) -> list[Task]:
    """Every network, all of one seed before the next, so that what is finished can be compared."""
    networks = []
    for seed in range(max(study.training.seeds for study in studies)):
        for study in studies:
            if seed < study.training.seeds:
                networks += [(study, variant, seed) for variant in study.variants()]
    return networks


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
    out = store.machine_file(profile.name)
    out.parent.mkdir(parents=True, exist_ok=True)
    workers = _workers(profile)
    # As the chapters that time do: they would measure this load.
    with FileLock(f"{out}.chapters.lock"), one_thread():
        device = device_name(profile.device)
        records = [line for line in read_outcomes(out) if isinstance(line, Record)]
        known = {record.point for record in records if record.provenance.device == device}
        networks = tasks(studies)
        missing = [
            (study, variant, seed)
            for study, variant, seed in networks
            if study.point(variant, seed) not in known
        ]
        before = len(networks) - len(missing)
        print(f"{len(networks)} networks, {before} of them trained before", flush=True)
        end = time.monotonic() + 60 * (math.inf if minutes is None else minutes)
        lines = outcomes(missing, profile.device, workers, end)
        left = len(missing)
        for line in tqdm(lines, total=len(missing), unit="network", disable=None):
            append(out, line)
            left -= 1
        if left:
            print(f"{left} networks left for another time")
    return store.measured(out, studies[0].suite)


def outcomes(
    networks: Sequence[Task], device: str, workers: int, end: float
) -> Iterator[Record | Failure]:
    """Outcomes as they come; no training begins after `end`, and none that has begun is lost."""
    begun = takewhile(lambda _: time.monotonic() < end, networks)
    if workers == 1:
        yield from (study.outcome(variant, seed, device) for study, variant, seed in begun)
        return
    begin_run()  # which the other processes inherit
    running = set()
    options = {"initializer": torch.set_num_threads, "initargs": (1,)}
    with ProcessPoolExecutor(workers, get_context("spawn"), **options) as pool:
        while True:
            while len(running) < workers and (task := next(begun, None)):
                study, variant, seed = task
                running.add(pool.submit(study.outcome, variant, seed, device))
            if not running:
                return
            finished, running = wait(running, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in finished)


def _workers(profile: Profile) -> int:
    """Processes that train: on a CPU one for each thread that PyTorch would use, at most 8."""
    if profile.trial or profile.device != "cpu":  # a trial is over in seconds
        return 1
    return min(torch.get_num_threads(), 8)


def adjusted(training: Training, **settings: float | None) -> Training:
    """A training with settings of one's own; None leaves the training's."""
    return replace(training, **{key: value for key, value in settings.items() if value is not None})


def plural(count: int, noun: str) -> str:
    """ "1 seed", "2 seeds"."""
    return f"{count} {noun}{'s' if count > 1 else ''}"

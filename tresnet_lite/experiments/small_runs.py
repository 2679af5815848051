"""Many small trainings, each a record: what was trained before is not trained again, and an
interruption loses none.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from contextlib import contextmanager
from itertools import takewhile
from multiprocessing import get_context

import torch

from tresnet_lite.bench.campaign import read
from tresnet_lite.profiles import Profile
from tresnet_lite.records import Failure, Record, append, store
from tresnet_lite.records.provenance import device_name, run_id
from tresnet_lite.records.store import Measured

Work = Callable[..., Record | Failure]  # called with what a task holds, then the profile


def train_missing(
    work: Work,
    tasks: Sequence[tuple],
    point: Callable[..., str],
    profile: Profile,
    *,
    minutes: float | None = None,
) -> None:
    """Do the tasks that the run's file has no record of, and append each one's outcome when it is
    ready.

    Args:
        work: a function of a module, since other processes call it too.
        tasks: the most wanted first.
        point: gives a task's name in the records from what the task holds.
        minutes: begin no task after that; the next call goes on from there.
    """
    from filelock import FileLock
    from tqdm import tqdm

    out = store.machine_file(profile.name)
    out.parent.mkdir(parents=True, exist_ok=True)
    workers = _workers(profile)
    # As the chapters that time do: they would measure this load.
    with FileLock(f"{out}.chapters.lock"), one_thread():
        device = device_name(profile.device)
        known = {
            r.point for r in read(out) if isinstance(r, Record) and r.provenance.device == device
        }
        left = [task for task in tasks if point(*task) not in known]
        print(f"{len(tasks)} networks, {len(tasks) - len(left)} of them trained before", flush=True)
        end = time.monotonic() + 60 * (math.inf if minutes is None else minutes)
        done = 0
        ready = outcomes(work, left, profile, workers, end)
        for line in tqdm(ready, total=len(left), unit="network", disable=None):
            append(out, line)
            done += 1
        if done < len(left):
            print(f"{len(left) - done} networks left for another time")


def recorded(profile: Profile, suite: str) -> Measured:
    """What the committed records and those of the run's file say about a suite."""
    return store.measured(store.machine_file(profile.name), suite)


def outcomes(
    work: Work, tasks: Sequence[tuple], profile: Profile, workers: int, end: float
) -> Iterator[Record | Failure]:
    """The outcome of each task, as soon as it is there; none is begun after `end`, and none that
    was begun is lost.
    """
    if workers == 1:
        yield from (
            work(*task, profile) for task in takewhile(lambda _: time.monotonic() < end, tasks)
        )
        return
    run_id()  # which the other processes inherit
    left, running = iter(tasks), set()
    options = {
        "mp_context": get_context("spawn"),
        "initializer": torch.set_num_threads,
        "initargs": (1,),
    }
    with ProcessPoolExecutor(workers, **options) as pool:
        while True:
            while len(running) < workers and time.monotonic() < end and (task := next(left, None)):
                running.add(pool.submit(work, *task, profile))
            if not running:
                return
            finished, running = wait(running, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in finished)


def _workers(profile: Profile) -> int:
    """Processes that train: one for each thread that PyTorch would use, but on a GPU, or for a few
    seconds' work, one.

    Networks this small gain nothing from a second thread, and lose much where another program wants
    it too.
    """
    return (
        1 if profile.device != "cpu" or profile.name == "smoke" else min(torch.get_num_threads(), 8)
    )


@contextmanager
def one_thread() -> Iterator[None]:
    """While this lasts PyTorch computes on one thread of this process."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)

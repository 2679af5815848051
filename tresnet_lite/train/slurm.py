"""A run as a job of Slurm, by submitit: a process per GPU; requeued, it goes on where it was."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from tresnet_lite.records.text import say
from tresnet_lite.train.run import work

TIMEOUTS = 100  # how often a job that ran out of its hours is requeued
WORKERS = 8  # reading processes, and so processors, for each training process


class Job:
    """What each process of the job does; submitit asks it for its checkpoint to requeue it."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options

    def __call__(self) -> str:
        from submitit.helpers import TorchDistributedEnvironment

        TorchDistributedEnvironment().export(set_cuda_visible_devices=False, overwrite=True)
        if code := work(self.options):
            why = "its reason is in this job's log"
            raise RuntimeError(f"the run ended with exit code {code}; {why}")
        return str(self.options.out)

    def checkpoint(self):
        """The same again: what is done lies in the run's folder."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


def submit(options: argparse.Namespace, out: Path) -> int:
    """Submit a run and say where it can be followed; a local one is waited for. The exit code.

    Args:
        options: of `python -m tresnet_lite.train`.
        out: the run's folder, on a file system that all machines see.

    Raises:
        ImportError: submitit is not installed.
    """
    job = executor(options, out).submit(Job(argparse.Namespace(**{**vars(options), "out": out})))
    say(f"job {job.job_id}: logs in {job.paths.folder}, run in {out}")
    if options.cluster == "slurm":
        return 0
    while not job.done():
        time.sleep(0.2)
    if error := job.exception():
        say(f"job {job.job_id} failed: {error}")
    return 1 if error else 0


def executor(options: argparse.Namespace, out: Path):
    """submitit's executor for the options: nodes, and on each a process for each GPU."""
    try:
        import submitit
    except ImportError as error:
        raise ImportError("--submit needs submitit: pip install submitit") from error
    kind = {"cluster": options.cluster, "slurm_max_num_timeout": TIMEOUTS}
    slurm = submitit.AutoExecutor(folder=out / "jobs", **kind)
    slurm.update_parameters(
        name=f"train_{out.name}",
        nodes=options.nodes,
        tasks_per_node=max(options.gpus, 1) if options.tasks is None else options.tasks,
        gpus_per_node=options.gpus,
        cpus_per_task=WORKERS if options.workers is None else options.workers + 1,
        timeout_min=round(options.hours * 60),
        **({"slurm_partition": options.partition} if options.partition else {}),
    )
    return slurm

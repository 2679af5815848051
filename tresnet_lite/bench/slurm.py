"""The same points as Slurm jobs, through submitit: a job for each, all records in one file.

Each job writes a file of its own, beside the one that all are gathered in. A job's records are
kept even if the process that submitted it is gone; the next one gathers them.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from tresnet_lite.bench import campaign
from tresnet_lite.bench.campaign import CampaignError
from tresnet_lite.bench.suites import Point
from tresnet_lite.records import append
from tresnet_lite.records.provenance import begin_run
from tresnet_lite.records.text import say

WISHES = {  # ours → submitit's
    "partition": "slurm_partition",
    "account": "slurm_account",
    "qos": "slurm_qos",
    "constraint": "slurm_constraint",
    "cpus": "cpus_per_task",
    "memory": "mem_gb",
}


def run(
    points: Iterable[Point],
    out: Path,
    *,
    wishes: Mapping[str, str | int | None] | None = None,
    cluster: str = "slurm",
    jobs: int = 8,
    retry_errors: bool = False,
    tell: Callable[[str], None] = say,
) -> list[Point]:
    """Submit the points not done yet, wait for the jobs, gather their records; return the rest.

    Args:
        out: the file of records, on a file system that all machines see.
        wishes: what the jobs ask of Slurm, by `WISHES`; what is None or missing is its default.
        cluster: "slurm", or "local" for processes on this machine.
        jobs: how many may run at the same time.

    Raises:
        CampaignError: submitit is not installed, or another campaign is writing `out`.
    """
    begin_run()  # which the jobs inherit
    executor = _executor(out, cluster)
    with campaign.locked(out):
        gather(out)
        over = campaign.done(campaign.read_outcomes(out), None, retry_errors=retry_errors)
        left = [point for point in points if point.id not in over]
        waiting = _submit(executor, left, out, wishes or {}, jobs) if left else []
        while waiting:
            for job in [job for job in waiting if job.done()]:
                waiting.remove(job)
                error = job.exception()
                gather(out)
                tell(f"job {job.job_id}: {error if error else job.result()}; {len(waiting)} left")
            time.sleep(0.2)
        over = campaign.done(campaign.read_outcomes(out), None)
    return [point for point in left if point.id not in over]


def measure_in_job(point: Point, part: Path) -> str:
    """What a job does: a campaign of one point, into a file of its own."""
    outcomes: list[str] = []
    slots = campaign.find_slots(point.device)
    campaign.run([point], part, slots, tell=lambda outcome, queue: outcomes.append(str(outcome)))
    return outcomes[0] if outcomes else f"{point.id}: was done"


def gather(out: Path) -> None:
    """Move what the jobs have measured to the end of `out`; if killed meanwhile, no line twice."""
    for part in sorted(_parts(out).glob("*.jsonl")):
        # A part whose job is at work is left for later.
        with contextlib.suppress(CampaignError), campaign.locked(part):
            known = {(line.point, line.provenance) for line in campaign.read_outcomes(out)}
            lines = campaign.read_outcomes(part)
            append(out, *(line for line in lines if (line.point, line.provenance) not in known))
            part.unlink()


def _submit(executor, points: list[Point], out: Path, wishes: Mapping, jobs: int) -> list:
    parts = _parts(out)
    parts.mkdir(parents=True, exist_ok=True)
    minutes = max(campaign.PATIENCE * point.seconds + 300 for point in points) / 60 + 5
    executor.update_parameters(
        name="tresnet_lite",
        timeout_min=int(minutes) + 1,
        gpus_per_node=0 if points[0].device == "cpu" else 1,
        slurm_array_parallelism=jobs,
        **{WISHES[name]: value for name, value in wishes.items() if value is not None},
    )
    names = [hashlib.sha256(point.id.encode()).hexdigest()[:12] for point in points]
    return executor.map_array(measure_in_job, points, [parts / f"{name}.jsonl" for name in names])


def _parts(out: Path) -> Path:
    return out.with_name(f"{out.stem}.parts")


def _executor(out: Path, cluster: str):
    try:
        import submitit
    except ImportError as error:
        raise CampaignError("Slurm jobs need submitit: pip install submitit") from error
    return submitit.AutoExecutor(folder=_parts(out) / "jobs", cluster=cluster)

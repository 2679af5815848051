"""Campaigns run from a chapter, at a profile's settings, into the file of `make reproduce`."""

from __future__ import annotations

from pathlib import Path

from filelock import FileLock

from tresnet_lite.bench import campaign, suites
from tresnet_lite.bench.campaign import CampaignError, Outcome, Queue
from tresnet_lite.bench.suites import Point
from tresnet_lite.profiles import Profile
from tresnet_lite.records import Record, store
from tresnet_lite.records.store import Measured


def measure_suites(profile: Profile, *names: str, minutes: float | None = None) -> Measured:
    """Measure what the run's file lacks of some suites, printing a line for each point.

    Args:
        names: suites (`bench.suites.SUITES`).
        minutes: stop then, with the most valuable points measured; the next time goes on from
            there. None: what the profile allows.
    """
    out = store.machine_file(profile.name)
    minutes = profile.minutes if minutes is None else minutes
    points = suites.select(suites.points(profile), list(names))
    try:
        _run(points, out, profile, minutes)
    except CampaignError as error:
        print(f"not measured now: {error}")
    return store.measured(out)


def measure_points(profile: Profile, *comparisons: str) -> list[Record]:
    """The records of some comparisons, by name; what this machine's file lacks is measured first.

    Raises:
        CampaignError: the device cannot be used, or another campaign is at work.
        RuntimeError: a comparison has failed in all of its processes.
    """
    out = store.machine_file(profile.name)
    points = [p for p in suites.points(profile) if p.model in comparisons]
    _run(points, out, profile, minutes=None)
    ids, measured = {point.id for point in points}, store.measured(out)
    records = [record for record in measured.records if record.point in ids]
    failures = [failure for failure in measured.failures if failure.point in ids]
    for name in comparisons:
        if not any(r.point == p.id for r in records for p in points if p.model == name):
            why = (
                ": ".join((failures[-1].error, failures[-1].message)) if failures else "no records"
            )
            raise RuntimeError(f"{name} could not be measured: {why}")
    return records


def _run(points: list[Point], out: Path, profile: Profile, minutes: float | None) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    # Chapters that run at the same time wait for each other: together they would measure each
    # other's load.
    with FileLock(f"{out}.chapters.lock"):
        slots = campaign.find_slots(profile.device)
        before = campaign.done(campaign.read_outcomes(out), {slot.device for slot in slots})
        known = sum(point.id in before for point in points)
        print(f"{len(points)} points, {known} of them measured before", flush=True)
        left = campaign.run(points, out, slots, minutes=minutes, tell=_report)
    if left:
        print(f"{len(left)} points left for another time: a larger `minutes` takes them too")


def _report(outcome: Outcome, queue: Queue) -> None:
    point = outcome.point
    process = f"process {point.process}" if point.process else None
    settings = (point.model, f"{point.resolution} px", point.norm, point.memory, process)
    name = ", ".join(filter(None, settings))
    took = f"{'FAILED' if outcome.failed else 'done'} in {outcome.seconds:.0f} s"
    print(f"{name}: {took} [about {queue.seconds_left / 60:.0f} min left]", flush=True)

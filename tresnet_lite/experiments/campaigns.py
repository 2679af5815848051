"""Campaigns run from a chapter, at a profile's settings, into the file of `make reproduce`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from tresnet_lite.bench import campaign, suites
from tresnet_lite.bench.campaign import CampaignError, Outcome, Queue
from tresnet_lite.bench.suites import Point
from tresnet_lite.profiles import Profile
from tresnet_lite.records import Record, files, store
from tresnet_lite.records.store import Measured
from tresnet_lite.records.text import plural
from tresnet_lite.train.engine import duration


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


def measure_points(profile: Profile, *names: str, case: str | None = None) -> list[Record]:
    """The records of some points, by name; what this machine's file lacks is measured first.

    Args:
        names: of comparisons, or of networks.
        case: of the points, "stages" for instance; None: whatever they are.

    Raises:
        CampaignError: the device cannot be used, or another campaign is at work.
        RuntimeError: all points of a name have failed.
    """
    out = store.machine_file(profile.name)
    points = [p for p in suites.points(profile) if p.model in names and case in (None, p.case)]
    _run(points, out, profile, minutes=None)
    ids, measured = {point.id for point in points}, store.measured(out)
    records = [record for record in measured.records if record.point in ids]
    failures = [failure for failure in measured.failures if failure.point in ids]
    for name in names:
        if not any(r.point == p.id for r in records for p in points if p.model == name):
            why = (
                ": ".join((failures[-1].error, failures[-1].message)) if failures else "no records"
            )
            raise RuntimeError(f"{name} could not be measured: {why}")
    return records


def taking_turns(out: Path) -> AbstractContextManager[None]:
    """Wait for the other chapters that write `out`, and let them wait.

    Together they would measure each other's load.
    """
    taken = CampaignError(f"another chapter is writing {out}")
    return files.exclusive(Path(f"{out}.chapters.lock"), taken, wait=True)


def _run(points: Sequence[Point], out: Path, profile: Profile, minutes: float | None) -> None:
    with taking_turns(out):
        slots = campaign.find_slots(profile.device)
        lines = campaign.read_outcomes(out)
        before = campaign.done(lines, {slot.device for slot in slots})
        missing = [point for point in points if point.id not in before]
        counts = f"{plural(len(points), 'point')}, {len(points) - len(missing)} of them measured"
        seconds = sum(point.seconds for point in missing)
        pace = campaign.pace_of(lines, suites.points(profile))
        rest = f"; the others take about {duration(pace * seconds)}" if missing else ""
        print(f"{counts} before{rest}", flush=True)
        left = campaign.run(points, out, slots, minutes=minutes, tell=_report)
    if left:
        count = plural(len(left), "point")
        print(f"{count} left for another time: a larger `minutes` takes them too")


def _report(outcome: Outcome, queue: Queue) -> None:
    point = outcome.point
    process = f"process {point.process}" if point.process else None
    settings = (point.model, f"{point.resolution} px", point.norm, point.memory, process)
    name = ", ".join(filter(None, settings))
    took = f"{'FAILED' if outcome.failed else 'done'} in {outcome.seconds:.0f} s"
    print(f"{name}: {took} [about {queue.seconds_left / 60:.0f} min left]", flush=True)

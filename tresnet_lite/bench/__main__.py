"""Campaigns on the command line: measure what the paper measured.

    python -m tresnet_lite.bench list                      what there is to measure
    python -m tresnet_lite.bench run paper                 measure it; again: go on from there
    python -m tresnet_lite.bench run table1 --dry-run      only say what would be measured
    python -m tresnet_lite.bench slurm paper --partition gpu
    python -m tresnet_lite.bench contribute FILE           check records; how to send them

The exit code is 0 even if points failed, because a failure is a result; it is 2 if nothing could be
started.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from pathlib import Path

import torch
from tqdm import tqdm

from tresnet_lite.bench import campaign, slurm, suites
from tresnet_lite.bench.campaign import CampaignError, Outcome, Queue
from tresnet_lite.bench.suites import GIB, Point
from tresnet_lite.profiles import PROFILES, Profile
from tresnet_lite.records import RecordError, store
from tresnet_lite.records.contribution import check_contribution, next_steps
from tresnet_lite.records.text import Parser, for_terminal, number, plural, say


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        return DO[options.do](options)
    except (ValueError, OSError, CampaignError, RecordError) as error:  # misuse, told in a line
        say(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        text = "what was measured is kept, and the same command goes on from there"
        say(f"interrupted: {text}", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = Parser(prog="python -m tresnet_lite.bench", description=__doc__, formatter_class=raw)
    commands = parser.add_subparsers(dest="do", required=True)
    names = f"of: {', '.join(suites.SUITES)}; paper is all of them"
    gpu_or_cpu = "default: gpu where there is one, else cpu"
    out = f"file of records; default: ${store.VARIABLE}, or build/records/PROFILE.jsonl"

    common = Parser(add_help=False)
    add = common.add_argument
    add("--profile", choices=PROFILES, help=gpu_or_cpu)
    add("--quick", action="store_true", help="fixed batches; only tables and figures")
    add("--memory-cap", type=float, metavar="GIB", help="emulate a GPU with so many GiB of memory")
    add(
        "--models",
        type=_words,
        metavar="A,B",
        help="only these models and comparisons (stem/resnet50)",
    )

    work = Parser(add_help=False, parents=[common])
    add = work.add_argument
    add("suites", nargs="+", metavar="SUITE", help=names)
    add("--out", type=Path, help=out)
    add("--retry-errors", action="store_true", help="measure again what failed before")
    add("--dry-run", action="store_true", help="list the points and how long they may take")

    add = commands.add_parser("run", parents=[work], help="measure here").add_argument
    add("--minutes", type=number(float), help="stop then, the most valuable points first")
    add("--gpus", type=_words, default=[], metavar="0,1", help="GPUs to use at once")
    add("--seed", type=number(), default=0, help="of the order")

    add = commands.add_parser("slurm", parents=[work], help="measure on a cluster").add_argument
    clusters = ("slurm", "local")
    for name in ("partition", "account", "qos"):
        add(f"--{name}", help="of Slurm")
    add("--constraint", help="of Slurm, for one kind of GPU where a partition has several")
    add("--cpus", type=number(least=1), help="of each job")
    add("--memory", type=number(least=1), metavar="GB", help="of each job")
    add("--cluster", choices=clusters, default="slurm", help="local: processes on this machine")
    add("--jobs", type=number(least=1), default=8, help="at the same time, at most")
    commands.add_parser("list", parents=[common], help="the suites, and how long each may take")
    add = commands.add_parser("contribute", help="check records, and say how to send them")
    add.add_argument("file", type=Path, help="of records, from `run paper --out FILE`")
    return parser


def _words(text: str) -> list[str]:
    return text.split(",")


def _run(options: argparse.Namespace) -> int:
    profile = _profile(options.profile)
    points, out = _points(options, profile), _out(options, profile)
    if options.dry_run:
        return _dry_run(points, out, options)
    slots = campaign.find_slots(profile.device, options.gpus)
    devices = ", ".join(slot.device for slot in slots)
    say(f"{profile.name}: {plural(len(points), 'point')} on {devices} → {out}")
    say(_counts(points, _over(out, {slot.device for slot in slots}, options), out))
    settings = {name: getattr(options, name) for name in ("minutes", "retry_errors", "seed")}
    with _Progress(len(points)) as progress:
        left = campaign.run(points, out, slots, **settings, tell=progress)
    outcomes = f"{plural(progress.measured, 'point')} measured, {progress.failed} of them failed"
    say(f"{outcomes}; {len(points) - len(left)} of {len(points)} are done")
    return _print_left(left, out)


def _slurm(options: argparse.Namespace) -> int:
    profile = PROFILES[options.profile or "gpu"]
    points, out = _points(options, profile), _out(options, profile)
    if options.dry_run:
        return _dry_run(points, out, options)
    settings = {name: getattr(options, name) for name in ("cluster", "jobs", "retry_errors")}
    settings["wishes"] = {name: getattr(options, name) for name in slurm.WISHES}
    return _print_left(slurm.run(points, out, **settings), out)


def _list(options: argparse.Namespace) -> int:
    profile = _profile(options.profile)
    points = suites.points(profile, quick=options.quick, memory_budget=_budget(options))
    own = store.machine_file(profile.name)
    for suite in (*suites.SUITES, "paper"):
        of_suite = suites.select(points, [suite])
        count = plural(len(of_suite), "point")
        say(f"{suite:8} {count:>10}, about {_minutes(of_suite, own)}")
    say(f"profile {profile}")
    return 0


def _contribute(options: argparse.Namespace) -> int:
    if not options.file.is_file():
        raise ValueError(f"there is no file {options.file}")
    say(next_steps(options.file, check_contribution(options.file)))
    return 0


DO = {"run": _run, "list": _list, "slurm": _slurm, "contribute": _contribute}


def _dry_run(points: list[Point], out: Path, options: argparse.Namespace) -> int:
    # Which GPU would be used is not known without using it, so a point counts as done on any.
    on_cpu = points and points[0].device == "cpu"
    devices = {campaign.find_slots("cpu")[0].device} if on_cpu else None
    over = _over(out, devices, options)
    for point in points:
        state = "done" if point.id in over else f"{point.seconds:.0f} s"
        say(f"{state:>6}  {', '.join(point.suites)}: {point.id}")
    say(_counts(points, over, out))
    return 0


def _over(out: Path, devices: set[str] | None, options: argparse.Namespace) -> set[str]:
    """The ids of the points that the file has already."""
    lines = campaign.read_outcomes(out)
    return campaign.done(lines, devices, retry_errors=options.retry_errors)


def _counts(points: list[Point], over: set[str], out: Path) -> str:
    """How many points there are, how many are done, and how long the others may take."""
    left = [point for point in points if point.id not in over]
    counts = f"{plural(len(points), 'point')}, {len(points) - len(left)} of them done"
    return f"{counts}; the others may take {_minutes(left, out)}" if left else counts


def _print_left(left: list[Point], out: Path) -> int:
    if left:
        say(f"left, about {_minutes(left, out)}; the same command goes on with them:")
    for point in left:
        say(f"  {', '.join(point.suites)}: {point.id}")
    return 0


def _profile(name: str | None) -> Profile:
    return PROFILES[name or ("gpu" if torch.cuda.is_available() else "cpu")]


def _budget(options: argparse.Namespace) -> int | None:
    if options.memory_cap is not None and not 0 < options.memory_cap < 1e6:
        raise ValueError(f"--memory-cap is {options.memory_cap:g}: give a card's memory in GiB")
    return options.memory_cap and int(options.memory_cap * GIB)


def _points(options: argparse.Namespace, profile: Profile) -> list[Point]:
    points = suites.points(profile, quick=options.quick, memory_budget=_budget(options))
    return suites.select(points, options.suites, options.models)


def _out(options: argparse.Namespace, profile: Profile) -> Path:
    return options.out or store.machine_file(profile.name)


def _minutes(points: list[Point], out: Path) -> str:
    """What points may take, at the pace of those in a file."""
    every = [point for profile in PROFILES.values() for point in suites.points(profile)]
    pace = campaign.pace_of(campaign.read_outcomes(out), every)
    return f"{pace * sum(point.seconds for point in points) / 60:.0f} min"


class _Progress(contextlib.AbstractContextManager):
    """A bar with the time left in a terminal, a line for each point in a log."""

    def __init__(self, total: int) -> None:
        self.measured = self.failed = 0
        self.terminal = sys.stdout.isatty()
        self.bar = tqdm(total=total, unit="point", disable=not self.terminal, file=sys.stdout)

    def __call__(self, outcome: Outcome, queue: Queue) -> None:
        self.measured += 1
        self.failed += outcome.failed
        left = f"about {queue.seconds_left / 60:.0f} min left"
        self.bar.total = self.measured + len(queue.points)
        self.bar.set_postfix_str(left, refresh=False)
        self.bar.update()
        line = f"{outcome}" if self.terminal else f"{outcome} [{left}]"
        self.bar.write(for_terminal(line), file=sys.stdout)
        sys.stdout.flush()

    def __exit__(self, *_: object) -> None:
        self.bar.close()


if __name__ == "__main__":
    sys.exit(main())

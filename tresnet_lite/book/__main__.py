"""Execute the notebooks that changed and build the book: ``python -m tresnet_lite.book``."""

from __future__ import annotations

import os
import sys

import torch

from tresnet_lite.book.build import build_book
from tresnet_lite.book.device import check_profile, choose_profile
from tresnet_lite.book.execute import execute_all
from tresnet_lite.book.freshness import content_digest, read_json, source_files, write_json
from tresnet_lite.book.project import Project, parse
from tresnet_lite.claims.ledger import ledger, ledger_lines
from tresnet_lite.records import RecordError, store
from tresnet_lite.records.provenance import begin_run
from tresnet_lite.records.text import Parser, say

# The profiler writes what it misses on a CPU (a GPU, the origin of older memory) past every
# notebook to the terminal.
QUIET_LOGS = {"TORCH_CPP_LOG_LEVEL": "ERROR", "KINETO_LOG_LEVEL": "5"}


def print_claims(project: Project, profile: str) -> None:
    """The verdict on each claim; judged again only where the package, data or records changed."""
    records = project.records(profile)
    files = source_files(project.root, "tresnet_lite", "data") + [records] * records.exists()
    stamp = project.build / "claims.json"
    cache, key = read_json(stamp), content_digest(project.root, files, torch.__version__)
    if cache.get("key") != key:
        try:
            cache = {"key": key, "lines": ledger_lines(ledger(store.standing(records)))}
        except (RecordError, FileNotFoundError) as error:
            say(f"claims: not judged ({error})", file=sys.stderr)
            return
        write_json(stamp, cache)
    say("claims:", *cache["lines"])


def main(arguments: list[str] | None = None) -> int:
    parser = Parser(prog="python -m tresnet_lite.book", description=__doc__)
    book_only = "build from what is there, execute nothing"
    parser.add_argument("--book-only", action="store_true", help=book_only)
    options, project = parse(parser, arguments, "default: chosen from the device")
    profile, reason = choose_profile(options.profile)
    say(f"profile: {profile} ({reason})")
    for name, level in QUIET_LOGS.items():
        os.environ.setdefault(name, level)
    begin_run()  # which the notebooks' processes inherit

    try:
        if not options.book_only:
            check_profile(profile)
    except ValueError as error:
        say(f"error: {error}", file=sys.stderr)
        return 2
    try:
        failures = [] if options.book_only else execute_all(project, profile)
    except KeyboardInterrupt:
        text = "what was executed and measured is kept, the same command goes on"
        say(f"interrupted: {text}", file=sys.stderr)
        return 130
    stands = build_book(project, profile)
    if not options.book_only:
        print_claims(project, profile)
    for failure in failures:
        say(f"FAILED {failure}", file=sys.stderr)
    if project.index.exists():
        say(f"book: {project.index.as_uri()}")
    return 0 if stands and not failures else 1


if __name__ == "__main__":
    sys.exit(main())

"""Print the claims ledger, a line for each claim and device: ``python -m tresnet_lite.claims``."""

from __future__ import annotations

import sys

from tresnet_lite.claims.ledger import ledger, ledger_lines
from tresnet_lite.records import RecordError, store
from tresnet_lite.records.text import Parser, say


def main(arguments: list[str] | None = None) -> int:
    parser = Parser(
        prog="python -m tresnet_lite.claims",
        description="Print the claims ledger, judged by the committed records and by those that "
        f"${store.VARIABLE} names.",
    )
    parser.parse_args(arguments)
    try:
        own = store.named_file()
        if own and not own.exists():
            say(f"${store.VARIABLE}: there is no file {own} yet", file=sys.stderr)
        say(*ledger_lines(ledger(store.standing(own))))
    except (RecordError, FileNotFoundError) as error:
        say(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

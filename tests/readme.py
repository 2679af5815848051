"""Render the README's results from the records and the paper's tables: make readme."""

from __future__ import annotations

from pathlib import Path

from tresnet_lite.book.readme import readme
from tresnet_lite.records.files import replacing

README = Path(__file__).resolve().parent.parent / "README.md"
START, END = "<!-- results -->\n", "<!-- /results -->\n"


def rendered(text: str) -> str:
    """``text`` with the current results between its markers."""
    before, _, rest = text.partition(START)
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError(
            f"README.md needs the markers {START.strip()} and {END.strip()}, each on a line"
        )
    return f"{before}{START}\n{readme()}\n\n{END}{after}"


def main() -> None:
    text = rendered(README.read_text(encoding="utf-8"))
    with replacing(README) as new:
        new.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

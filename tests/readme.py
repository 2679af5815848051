"""Render what the README shows of the book, and its pictures: make readme."""

from __future__ import annotations

from tresnet_lite.book.readme import first_screen, pictures, results
from tresnet_lite.checkout import ROOT
from tresnet_lite.records.files import replacing

README = ROOT / "README.md"
PARTS = {"first screen": first_screen, "results": results}  # a name in markers → what they enclose


def rendered(text: str) -> str:
    """``text`` with the current parts between their markers."""
    for name, part in PARTS.items():
        start, end = f"<!-- {name} -->\n", f"<!-- /{name} -->\n"
        before, _, rest = text.partition(start)
        _, found, after = rest.partition(end)
        if not found:
            raise ValueError(
                f"README.md needs the markers {start.strip()} and {end.strip()}, each on a line"
            )
        text = f"{before}{start}\n{part()}\n\n{end}{after}"
    return text


def main() -> None:
    files = {README: rendered(README.read_text(encoding="utf-8"))}
    files |= {ROOT / place: svg for place, svg in pictures().items()}
    for file, text in files.items():
        with replacing(file) as new:
            new.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

"""Text that comes from data, escaped for the page or figure where it stands.

Names of devices, networks, claims and files are text, never markup, no matter who wrote them.
"""

from __future__ import annotations

import html
import json
import re

from tresnet_lite.records.text import printable

ENTITIES = {ord(c): f"&#{ord(c)};" for c in "{}[]`|$\\*~"}
ESCAPES = {ord(c): f"\\u{ord(c):04x}" for c in "<>&{}`"}
STRING = re.compile(r'"(?:[^"\\]|\\.)*"')  # of JSON
UNDERSCORE = r"(?<![^\W_])_|_(?![^\W_])"  # inside a word it is only a letter
ADDRESS = r"@|:(?=//)|(?<=\w)\.(?=[^\W\d])"  # of an address, which would become a link
IN_HTML = re.compile(rf"{UNDERSCORE}|{ADDRESS}")
MARKUP = re.compile(  # of what is found, the last character is escaped
    rf"[\\`*{{}}\[\]<|$~^#]|&(?=#|\w)|{UNDERSCORE}|{ADDRESS}"
    r"|^[>=:%]|^\((?=.*\)=$)"  # of a quotation, a comment or a target
    r"|^[+-](?=[\s+-]|$)|^\d+[.)](?=\s|$)"  # of a list, or a line across
)
CELL = re.compile(
    r"(?:^|(?<=;))(?=\s*[=+\-@\N{FULLWIDTH EQUALS SIGN}\N{FULLWIDTH PLUS SIGN}"
    r"\N{FULLWIDTH HYPHEN-MINUS}\N{FULLWIDTH COMMERCIAL AT}])"
)  # of a formula


def as_html(text: str) -> str:
    """The text in HTML, in an attribute too, also where that stands in a page of Markdown."""
    escaped = html.escape(printable(text)).translate(ENTITIES)
    return IN_HTML.sub(lambda m: f"&#{ord(m[0])};", escaped)


def as_markdown(text: str) -> str:
    """The text in MyST Markdown, in a table's cell too."""
    escape = {"<": "&lt;"}
    plain = printable(text).strip(" ")
    return MARKUP.sub(lambda m: escape.get(m[0], f"{m[0][:-1]}\\{m[0][-1]}"), plain)


def as_cell(text: str) -> str:
    """The text in a file of comma-separated values: no formula for a spreadsheet.

    Spreadsheets hide the apostrophe before such a text; in some languages a ";" begins a cell too.
    """
    return CELL.sub("'", printable(text))


def as_json(content: object) -> str:
    """JSON that can stand in a page's `<script>`, whatever its strings hold."""
    text = json.dumps(content, separators=(",", ":"))
    return STRING.sub(lambda m: m[0].translate(ESCAPES), text)

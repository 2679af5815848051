"""Text that comes from data, escaped for the page or figure where it stands.

Names of devices, networks, claims and files are text: none of them is markup, whoever wrote it.
"""

from __future__ import annotations

import html
import json
import re

from tresnet_lite.records.text import printable

ENTITIES = {ord(c): f"&#{ord(c)};" for c in "{}[]`|$\\*~"}
ESCAPES = {ord(c): f"\\u{ord(c):04x}" for c in "<>&{}`"}
STRING = re.compile(r'"(?:[^"\\]|\\.)*"')  # of JSON
UNDERSCORE = re.compile(r"(?<![^\W_])_|_(?![^\W_])")  # inside a word it is only a letter
MARKUP = re.compile(
    r"[\\`*{}\[\]<|$~^@]|&(?=#|\w)"
    rf"|{UNDERSCORE.pattern}"
    r"|:(?=//)|(?<=\w)\.(?=[^\W\d])"  # of an address, which would become a link
    r"|^[#>=:]|^[+-](?=\s)|(?<=^\d)[.)](?=\s)"  # of a heading, a quotation or a list
)


def as_html(text: str) -> str:
    """The text in HTML, in an attribute too, also where that stands in a page of Markdown."""
    return UNDERSCORE.sub("&#95;", html.escape(printable(text)).translate(ENTITIES))


def as_markdown(text: str) -> str:
    """The text in MyST Markdown, in a table's cell too."""
    escape = {"<": "&lt;"}
    return MARKUP.sub(lambda m: escape.get(m[0], f"\\{m[0]}"), printable(text))


def as_json(content: object) -> str:
    """JSON that can stand in a page's `<script>`, whatever its strings hold."""
    text = json.dumps(content, separators=(",", ":"))
    return STRING.sub(lambda m: m[0].translate(ESCAPES), text)

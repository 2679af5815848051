"""A Sphinx extension: pages carry only the scripts that they use, for a phone to load little."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx

# draws every icon a second time: style sheet and fonts do it already
ICONS = "_static/scripts/fontawesome.js"


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("html-page-context", drop_scripts, priority=900)  # after all that add some
    app.connect("build-finished", drop_icons)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def drop_scripts(app: Sphinx, page: str, template: str, context: dict, doctree: object) -> None:
    """Take out MathJax where there is no formula, and Thebe, which wants a kernel from the net."""
    from docutils import nodes

    kinds = (nodes.math, nodes.math_block)
    formulas = doctree is not None and any(doctree.findall(lambda n: isinstance(n, kinds)))
    unused = ["thebe"] if formulas else ["thebe", "mathjax"]
    scripts = context.get("script_files", [])
    context["script_files"] = [s for s in scripts if not any(word in _text(s) for word in unused)]


def _text(script: object) -> str:
    """Where a script is, or what it says."""
    body = getattr(script, "attributes", {}).get("body", "")
    return f"{getattr(script, 'filename', script)} {body}".lower()


def drop_icons(app: Sphinx, error: Exception | None) -> None:
    script = Path(app.outdir) / ICONS
    if error is None and script.exists():
        script.write_text("// Icons come from the style sheet.\n", encoding="utf-8")

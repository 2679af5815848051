"""Compiling (§2.2.1): trying what may fail on this machine, and who uses TorchScript."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

import tresnet_lite

T = TypeVar("T")


def attempt(make: Callable[[], T]) -> tuple[T | None, str]:
    """What `make` gives, or None and why not: a compiler may be missing, too old or too new."""
    try:
        return make(), ""
    except Exception as error:  # of any kind: each compiler has its own
        lines = str(error).strip().splitlines() or [""]
        return None, f"{type(error).__name__}: {lines[0]}"


def compiled(
    function: Callable[..., Tensor], *example: Tensor
) -> tuple[Callable[..., Tensor] | None, str]:
    """`function` through torch.compile, tried on an example; None and why not where that fails."""

    def make() -> Callable[..., Tensor]:
        fast = torch.compile(function, fullgraph=True, dynamic=False)
        with torch.inference_mode():
            fast(*example)
        return fast

    return attempt(make)


def torchscript_uses(folder: Path | None = None) -> tuple[int, list[str]]:
    """How many modules a folder has, and where they use TorchScript ("file:line").

    The default folder is this package's.
    """
    folder = folder or Path(tresnet_lite.__file__).parent
    files, uses = sorted(folder.rglob("*.py")), []
    for file in files:
        lines = set()
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if any(re.match(r"torch\.jit\b", name) for name in _names(node)):
                lines.add(node.lineno)
        uses += [f"{file.relative_to(folder)}:{line}" for line in sorted(lines)]
    return len(files), uses


def _names(node: ast.AST) -> list[str]:
    """The dotted names that a piece of code imports or reaches into."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return [f"{node.module}.{alias.name}" for alias in node.names]
    return [ast.unparse(node)] if isinstance(node, ast.Attribute) else []

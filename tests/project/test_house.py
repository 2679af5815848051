"""The house keeps its layout, which CONTRIBUTING.md maps; `make lint` holds who imports whom."""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tresnet_lite.checkout import ROOT

PACKAGE = ROOT / "tresnet_lite"
CORE = {
    "__init__.py",
    "ablation.py",
    "checkout.py",
    "model.py",
    "profiles.py",
    "timm_models.py",
    "transforms.py",
    "weights.py",
}
CORE_LINES = 2300
IMPORT_LINTER = [Path(sys.executable).with_name("lint-imports"), "--no-cache", "--no-logo"]


def strays(package: Path) -> set[str]:
    """Python files at a package's root that are no part of the core."""
    return {path.name for path in package.glob("*.py")} - CORE


def loads_by_name(source: str) -> bool:
    """Does a piece of code import a module whose name is a value?"""
    words = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Name):
            words.add(node.id)
        elif isinstance(node, ast.Attribute):
            words.add(node.attr)
        elif isinstance(node, ast.alias):
            words.add(node.name)
    return bool(words & {"import_module", "__import__", "spec_from_file_location"})


def test_nothing_lies_at_the_root_beyond_the_core(tmp_path):
    assert strays(PACKAGE) == set() and {path.name for path in PACKAGE.glob("*.py")} == CORE
    (tmp_path / "model.py").touch()
    (tmp_path / "report.py").touch()
    assert strays(tmp_path) == {"report.py"}


def test_nothing_is_loaded_by_name():
    assert loads_by_name("import importlib\nimportlib.import_module('x')")
    assert loads_by_name("from importlib import import_module as load")
    assert loads_by_name("__import__('x')") and not loads_by_name("import importlib.metadata")
    modules = PACKAGE.rglob("*.py")
    assert [path for path in modules if loads_by_name(path.read_text(encoding="utf-8"))] == []


def test_the_core_is_small():
    files = [*(PACKAGE / name for name in CORE), *(PACKAGE / "layers").glob("*.py")]
    assert sum(len(path.read_text(encoding="utf-8").splitlines()) for path in files) <= CORE_LINES


@pytest.mark.parametrize(
    ("module", "line", "importer", "imported"),
    [
        ("records/store.py", "import tresnet_lite.claims.ledger\n", "records", "claims"),
        ("layers/blur_pool.py", "import pandas\n", "layers", "pandas"),
        ("weights.py", "import timm\n", "weights", "timm"),
    ],
)
def test_an_import_the_wrong_way_is_refused(module, line, importer, imported, tmp_path):
    """In a copy of the package that has one import too many, import-linter names it."""
    copy = tmp_path / "tresnet_lite"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    with (copy / module).open("a", encoding="utf-8") as file:
        file.write(line)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    result = subprocess.run(
        IMPORT_LINTER, cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert result.returncode == 1
    told = rf"tresnet_lite.{importer} is not allowed to import"
    assert told in result.stdout and imported in result.stdout.partition(told)[2]

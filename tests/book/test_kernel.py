"""The notebooks' kernel is this Python, with this checkout, whatever the environment names."""

import json
import os
import sys

import nbformat
from helpers import write_notebook

import tresnet_lite
from tresnet_lite.book.execute import execute
from tresnet_lite.book.kernel import own_kernel


def printed(path):
    cells = nbformat.read(path, as_version=4).cells
    return "".join(o.text for cell in cells for o in cell.get("outputs", [])).split("\n")


def test_neither_a_jupyter_path_nor_another_checkout_gets_in_between(tmp_path, monkeypatch):
    """As a cluster's module sets them: a kernel of another Python, and a package found first."""
    kernel = tmp_path / "jupyter" / "kernels" / "python3"
    kernel.mkdir(parents=True)
    argv = ["/bin/false", "-f", "{connection_file}"]
    spec = {"argv": argv, "display_name": "Python 3", "language": "python"}
    (kernel / "kernel.json").write_text(json.dumps(spec))
    (tmp_path / "other" / "tresnet_lite").mkdir(parents=True)
    (tmp_path / "other" / "tresnet_lite" / "__init__.py").write_text("")
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "other"))
    source = "import sys, tresnet_lite\nprint(sys.executable)\nprint(tresnet_lite.__file__)"
    write_notebook(tmp_path / "x.ipynb", source)
    assert execute(tmp_path / "x.ipynb", tmp_path / "out" / "x.ipynb", "smoke") is None
    assert printed(tmp_path / "out" / "x.ipynb")[:2] == [sys.executable, tresnet_lite.__file__]


def test_the_environment_is_as_before_afterwards(monkeypatch):
    monkeypatch.setenv("JUPYTER_PATH", "/somewhere")
    monkeypatch.delenv("PYTHONPATH", raising=False)
    with own_kernel():
        assert os.environ["JUPYTER_PATH"].endswith(":/somewhere") and os.environ["PYTHONPATH"]
    assert os.environ["JUPYTER_PATH"] == "/somewhere" and "PYTHONPATH" not in os.environ

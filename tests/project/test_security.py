"""Promises of SECURITY.md that no one part of the package keeps: versions, the network, CI, Colab.

What a file of weights, records or pictures can do is tested where such files are read.
"""

import ast
import http.server
import os
import re
import runpy
from importlib.metadata import PackageNotFoundError

import pytest
import timm
import torch
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from tresnet_lite.book import serve
from tresnet_lite.checkout import ROOT
from tresnet_lite.claims.ledger import load_claims

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
# The modules of the standard library, and the packages, that open connections …
NETWORK = {
    "aiohttp",
    "asyncio",
    "ftplib",
    "http",
    "httpx",
    "huggingface_hub",
    "requests",
    "smtplib",
    "socket",
    "socketserver",
    "torch.hub",
    "urllib.request",
    "urllib3",
    "webbrowser",
    "xmlrpc",
}
# … and who may use which.
USERS = {
    "book/serve.py": {"http"},
    "checkpoints/download.py": {"http", "urllib.request"},
    "checkpoints/sources.py": {"huggingface_hub"},
}


class Payload:
    """Unpickled, it leaves a file."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


# Versions


def floors() -> dict[str, SpecifierSet]:
    """The packages that pyproject.toml names, and the versions that it accepts."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    listed = re.findall(r'"([\w-]+[<>]=?[^"=]*)"', text.partition("[tool")[0])
    requirements = [Requirement(line) for line in listed]
    return {package.name: package.specifier for package in requirements}


def test_no_version_that_runs_a_checkpoints_code_is_accepted():
    """CVE-2026-24747 is mended in torch 2.10; timm reads `checkpoint_path` safely from 1.0.26."""
    accepted = floors()
    mended = [("torch", "2.9.1", "2.10.0"), ("timm", "1.0.25", "1.0.26")]
    mended += [("filelock", "3.20.0", "3.20.3")]  # which followed a link in place of a lock
    for name, unsafe, safe in mended:
        assert unsafe not in accepted[name] and safe in accepted[name], name


def test_conda_accepts_what_pip_does():
    """`environment.yml` repeats the floors of pyproject.toml, and pins torch."""
    accepted = floors()
    packages = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    conda = [Requirement(line) for line in packages if isinstance(line, str) and ">=" in line]
    assert len(conda) > 10
    for package in conda:
        assert package.specifier == accepted[package.name], package.name


@pytest.mark.parametrize("read", ["create_model", "resume_checkpoint"])
def test_timm_runs_no_code_of_a_checkpoint(read, tmp_path):
    mark, checkpoint = tmp_path / "ran", tmp_path / "crafted.pth"
    torch.save({"state_dict": {"weight": Payload(mark)}}, checkpoint)
    with pytest.raises(RuntimeError, match="weights_only"):
        if read == "create_model":
            timm.create_model("test_resnet", checkpoint_path=str(checkpoint))
        else:
            network = timm.create_model("test_resnet")
            timm.models.resume_checkpoint(network, str(checkpoint), log_info=False)
    assert not mark.exists()
    torch.load(checkpoint, weights_only=False)  # the payload would have worked
    assert mark.exists()


def test_no_advice_to_install_this_package_from_an_index():
    """The name is not ours on PyPI: whoever takes it there would run code for who believes us."""
    advice = re.compile(r"pip install[^\n]*[\s'\"]tresnet-lite\b")
    assert advice.search("pip install 'tresnet-lite[slurm]'")
    assert not advice.search('pip install -e "./tresnet-lite[bench]"')
    folders = ("tresnet_lite", "notebooks", "book", "binder")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()]
    files += [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "Makefile"]
    texts = {path: path.read_text(encoding="utf-8", errors="replace") for path in files}
    assert [path for path, text in texts.items() if advice.search(text)] == []


# Claims and the network


def test_claims_create_no_objects(tmp_path):
    mark, file = tmp_path / "ran", tmp_path / "claims.yaml"
    file.write_text(f"- id: !!python/object/apply:os.mkdir ['{mark}']\n", encoding="utf-8")
    with pytest.raises(ValueError, match="python/object"):
        load_claims(file)
    assert not mark.exists()
    yaml.unsafe_load(file.read_text(encoding="utf-8"))  # the payload would have worked
    assert mark.exists()


def connections(source: str) -> set[str]:
    """What of `NETWORK` a module imports, or names as an attribute of torch."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Attribute):
            names.add(ast.unparse(node))
    return {used for used in NETWORK for name in names if f"{name}.".startswith(f"{used}.")}


def test_only_named_modules_use_the_network():
    assert connections("from urllib import request") == {"urllib.request"}
    assert connections("import torch\ntorch.hub.load('a', 'b')") == {"torch.hub"}
    assert connections("import urllib.parse, https, torch") == set()
    package = ROOT / "tresnet_lite"
    modules = {path.relative_to(package).as_posix(): path for path in package.rglob("*.py")}
    used = {name: connections(path.read_text(encoding="utf-8")) for name, path in modules.items()}
    assert {name: found for name, found in used.items() if found} == USERS


def test_the_server_listens_on_this_machine_alone(tmp_path, monkeypatch):
    addresses = []

    def refuse(address, handler):
        addresses.append(address)
        raise OSError("no server in this test")

    monkeypatch.setattr(http.server, "ThreadingHTTPServer", refuse)
    (tmp_path / "_toc.yml").touch()
    with pytest.raises(SystemExit):
        serve.main(["--root", str(tmp_path), "--port", "8123"])
    assert addresses == [("127.0.0.1", 8123)]


# Continuous integration


def workflow(path) -> dict:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def steps(name: str) -> list[dict]:
    """The steps of all workflows that use an action."""
    jobs = [job for path in WORKFLOWS for job in workflow(path)["jobs"].values()]
    uses = [step for job in jobs for step in job["steps"] if "uses" in step]
    return [step for step in uses if step["uses"].startswith(name)]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_actions_are_pinned_by_commit(path):
    """With the version as a comment, which Dependabot renews with the commit."""
    text = path.read_text(encoding="utf-8")
    pinned = re.findall(r"uses: [\w./-]+@[0-9a-f]{40}  # v\d+\.\d+\.\d+$", text, re.MULTILINE)
    assert pinned and len(pinned) == text.count("uses:")
    updates = workflow(ROOT / ".github" / "dependabot.yml")["updates"]
    assert "github-actions" in {update["package-ecosystem"] for update in updates}


def test_only_the_deployment_may_write():
    for path in WORKFLOWS:
        text, parsed = path.read_text(encoding="utf-8"), workflow(path)
        assert parsed["permissions"] == {"contents": "read"}, path
        # that trigger runs a stranger's code with our rights
        assert "pull_request_target" not in text and "secrets." not in text, path
        for name, job in parsed["jobs"].items():
            if "permissions" in job:
                assert name == "publish" and job["if"].startswith("github.ref == 'refs/heads/main'")
                assert job["permissions"] == {"pages": "write", "id-token": "write"}
                (step,) = job["steps"]
                assert step["uses"].startswith("actions/deploy-pages@")


def test_no_checkout_keeps_credentials():
    checkouts = steps("actions/checkout@")
    assert checkouts and all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_the_tests_see_the_whole_history():
    """In a shallow checkout, `contribute` could not tell which commits are known, nor which lines
    of records were there before.
    """
    jobs = [job for path in WORKFLOWS for job in workflow(path)["jobs"].values()]
    testing = [job for job in jobs if any("test" in s.get("run", "").split() for s in job["steps"])]
    assert testing
    for job in testing:
        (checkout,) = (s for s in job["steps"] if s.get("uses", "").startswith("actions/checkout@"))
        assert checkout["with"]["fetch-depth"] == 0


def test_the_pins_are_audited_every_week():
    """For every Python that is supported, as the pins differ."""
    audit = workflow(ROOT / ".github" / "workflows" / "audit.yml")
    (timed,) = audit[True]["schedule"]  # YAML reads the key `on` as true
    assert re.fullmatch(r"\d+ \d+ \* \* [0-6]", timed["cron"])
    job = audit["jobs"]["audit"]
    supported = re.findall(r"Python :: (3\.\d+)", (ROOT / "pyproject.toml").read_text())
    assert job["strategy"]["matrix"]["python"] == supported
    (command,) = (s["run"] for s in job["steps"] if s.get("run", "").startswith("pip-audit"))
    assert "--requirement constraints.txt" in command


# Colab


def test_pins_leave_what_is_new_enough(monkeypatch):
    """Missing: the tested version. Older, or of a build of its own: stays, or rises to it. Newer:
    nothing is said.
    """
    here = {"torch": "2.12.0+cu130", "torchvision": "0.25.0+cu128", "numpy": "2.0.2"}

    def version(name):
        if name not in here:
            raise PackageNotFoundError(name)
        return here[name]

    monkeypatch.setattr("importlib.metadata.version", version)
    pins = runpy.run_path(str(ROOT / "notebooks" / "pins.py"))["pins"]
    constraints = [
        "# a comment",
        "",
        "timm==1.0.31",
        "torch==2.10.0",
        "torchvision==0.25.0",
        "numpy==2.2.6 ; python_full_version < '3.11'",
        "numpy==2.4.6 ; python_full_version == '3.11.*'",
    ]
    assert pins(constraints) == [
        "timm==1.0.31",
        "torchvision<=0.25.0",
        "numpy<=2.2.6 ; python_full_version < '3.11'",
        "numpy<=2.4.6 ; python_full_version == '3.11.*'",
    ]


def test_every_constraint_is_understood(monkeypatch):
    """All are pins, and on a bare machine all hold."""
    monkeypatch.setattr("importlib.metadata.version", lambda name: _absent(name))
    pins = runpy.run_path(str(ROOT / "notebooks" / "pins.py"))["pins"]
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    held = pins(lines)
    assert len(held) > 100 and held == [line for line in lines if line and line[0] != "#"]
    assert all(len(Requirement(line).specifier) == 1 and "==" in line for line in held)


def _absent(name: str):
    raise PackageNotFoundError(name)

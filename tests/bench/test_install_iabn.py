"""Building the published Inplace-ABN may fail in many ways; each is one line, and none is fatal."""

import sys

import pytest
import torch

from tresnet_lite.bench import install_iabn


@pytest.fixture(autouse=True)
def on_a_cpu(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def test_the_cache_tells_builds_apart(monkeypatch):
    kind, settings, why_cpu = install_iabn.target()
    assert (
        kind == f"torch-{torch.__version__}-cp{sys.version_info.major}{sys.version_info.minor}-cpu"
    )
    assert settings == {} and why_cpu.startswith("no GPU is visible here; run python -m tresnet_l")
    monkeypatch.setattr(torch, "__version__", "9.9.9")
    assert install_iabn.target()[0] != kind


def toolkit(folder, release: str, *, headers: bool = True):
    """A folder like a CUDA toolkit's, whose nvcc tells its release."""
    (folder / "bin").mkdir(parents=True)
    nvcc = folder / "bin" / "nvcc"
    nvcc.write_text(f"#!/bin/sh\necho 'Cuda compilation tools, {release}, V1'\n")
    nvcc.chmod(0o755)
    if headers:
        (folder / "include").mkdir()
        (folder / "include" / "cuda_runtime.h").touch()
    return folder


@pytest.fixture
def on_a_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (7, 0))
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    monkeypatch.setattr(install_iabn.shutil, "which", lambda name: None)


def test_a_fitting_toolkit_builds_for_the_gpu_and_newer_ones(on_a_gpu, monkeypatch, tmp_path):
    home = toolkit(tmp_path / "cuda", "release 12.4")
    monkeypatch.setenv("CUDA_HOME", str(home))
    kind, settings, why_cpu = install_iabn.target()
    assert kind.endswith("-sm_70") and why_cpu == ""
    assert settings == {"CUDA_HOME": str(home), "TORCH_CUDA_ARCH_LIST": "7.0+PTX"}


@pytest.mark.parametrize(
    ("release", "headers", "reason"),
    [
        ("release 13.0", True, "is release 13.0, and torch has CUDA 12.8"),
        ("of nothing", True, "is of no known release"),
        ("release 12.8", False, "lacks the toolkit's headers"),
        (None, True, "there is no nvcc in "),
    ],
)
def test_without_a_fitting_toolkit_it_says_why_it_builds_for_the_cpu(
    on_a_gpu, monkeypatch, tmp_path, release, headers, reason
):
    monkeypatch.setenv("CUDA_HOME", str(tmp_path / "cuda"))
    if release:
        toolkit(tmp_path / "cuda", release, headers=headers)
    kind, settings, why_cpu = install_iabn.target()
    assert kind.endswith("-cpu") and settings == {}
    assert reason in why_cpu and why_cpu.endswith(": set CUDA_HOME to a toolkit of CUDA 12")


def test_pips_reason_is_one_line():
    with pytest.raises(install_iabn.BuildError, match="(?i)error") as caught:
        install_iabn.pip("install", "--no-index", "no-such-package-as-this")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("missing", ["compiler", "index"])
def test_a_failure_is_one_line_and_not_fatal(missing, monkeypatch, capsys):
    def refuse(*arguments, **environment):
        raise install_iabn.BuildError("no matching distribution")

    monkeypatch.setattr(install_iabn, "pip", refuse)
    monkeypatch.setattr(
        install_iabn.shutil, "which", lambda name: None if missing == "compiler" else name
    )
    install_iabn.main([])
    *_, last = capsys.readouterr().out.splitlines()
    reason = {"compiler": "no C++ compiler is installed", "index": "no matching distribution"}[
        missing
    ]
    assert last.startswith(f"inplace-abn: not installed ({reason}")


def test_a_kept_wheel_is_used_and_one_that_does_not_run_is_removed(monkeypatch, tmp_path, capsys):
    cache = tmp_path / "tresnet_lite" / "inplace_abn" / install_iabn.target()[0]
    cache.mkdir(parents=True)
    wheel = cache / "inplace_abn-1.1.0-py3-none-any.whl"
    wheel.write_bytes(b"")
    commands = []
    monkeypatch.setattr(install_iabn, "pip", lambda *arguments, **_: commands.append(arguments))
    monkeypatch.setattr(install_iabn, "IABN_TRIAL", "raise ImportError('undefined symbol')")
    install_iabn.main([])
    assert [command[0] for command in commands] == ["install", "uninstall"]
    assert commands[0][-1] == str(wheel)
    assert (
        "not installed (it does not run: ImportError: undefined symbol)" in capsys.readouterr().out
    )

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
    kind, settings = install_iabn.target()
    assert (
        kind == f"torch-{torch.__version__}-cp{sys.version_info.major}{sys.version_info.minor}-cpu"
    )
    assert settings == {}
    monkeypatch.setattr(torch, "__version__", "9.9.9")
    assert install_iabn.target()[0] != kind


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

"""The user's cache: where a user without a home or a name, as in a container, gets a line."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tresnet_lite.checkout import ROOT
from tresnet_lite.checkpoints import user_cache
from tresnet_lite.train import load_data


def homeless():
    raise RuntimeError("Could not determine home directory.")


def test_a_user_without_a_home_is_told_what_to_set(tmp_path, monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("TRESNET_LITE_DATA", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(ValueError, match="no home folder .*: set HOME or XDG_CACHE_HOME"):
        user_cache()
    with pytest.raises(ValueError, match="set HOME or XDG_CACHE_HOME"):
        load_data("cifar10", download=False)
    with pytest.raises(ConnectionError, match=f"cifar10 is not in {tmp_path}"):
        load_data("cifar10", root=tmp_path, download=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert user_cache() == tmp_path / "tresnet_lite"


NAMELESS = """
import os, pwd
def nobody(_):
    raise KeyError("getpwuid(): uid not found: 12345")
pwd.getpwuid = nobody
import tresnet_lite, tresnet_lite.train
from tresnet_lite.train import load_data
print(len(load_data("digits").train), os.environ["LOGNAME"].startswith("uid-"))
"""


def test_a_user_without_a_name_can_train_on_digits(tmp_path):
    """torch's compiler asks for the name when torchvision is imported."""
    hidden = ("LOGNAME", "USER", "LNAME", "USERNAME", "HOME", "XDG_CACHE_HOME")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    environment["PYTHONPATH"] = str(ROOT)
    command = [sys.executable, "-c", NAMELESS]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == "1347 True\n", done.stderr

"""The paper's text, which is not ours to distribute."""

import os
from pathlib import Path

import pytest

from tresnet_lite.checkout import ROOT

TEXT = Path(os.environ.get("TRESNET_PAPER_TEXT", ROOT.parent / "shared" / "paper" / "tresnet.txt"))


@pytest.fixture(scope="module")
def text() -> str:
    if not TEXT.exists():
        pytest.skip("no copy of the paper's text: TRESNET_PAPER_TEXT=path gives one")
    return TEXT.read_text(encoding="utf-8")

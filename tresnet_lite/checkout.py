"""Where the checkout lies, which holds what the package does not: the paper's numbers, records."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "data"  # paper/, published/ and measured/
BUILD = ROOT / "build"  # what the commands make

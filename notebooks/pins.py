"""The constraints beside packages that are here already, as on Colab.

    python notebooks/pins.py > pins.txt

What is missing comes in its tested version. What is here stays, a newer
torch above all; what is here and too old for this package is raised, to
the tested version at most.
"""

from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.requirements import Requirement

CONSTRAINTS = Path(__file__).parents[1] / "constraints.txt"


def pins(constraints: Iterable[str]) -> list[str]:
    """The constraints that hold beside what is installed."""
    held = []
    for line in constraints:
        if not line.strip() or line.startswith("#"):
            continue
        ceiling = line.replace("==", "<=", 1)
        requirement = Requirement(ceiling)
        try:
            here = version(requirement.name)
        except PackageNotFoundError:
            held.append(line)
            continue
        if requirement.specifier.contains(here, prereleases=True):
            held.append(ceiling)
    return held


if __name__ == "__main__":
    text = CONSTRAINTS.read_text(encoding="utf-8")
    print("\n".join(pins(text.splitlines())))

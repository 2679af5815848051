"""Version 1 of a record's line, whose case also said what has fields of its own since version 2."""

from __future__ import annotations

import re
from typing import Any

PARTED = re.compile(r"(?P<case>[^:]+): (?P<part>.+)", re.DOTALL)  # "stages: layer1"
SEEDS = re.compile(r"(?P<case>.+), seed (?P<seed>[0-9]+)", re.DOTALL)  # "digits, 4 epochs, seed 3"
READING = re.compile(r"(?P<case>.+), (?P<part>with reading)", re.DOTALL)
# The suites that wrote their cases so. A colon in a case of any other suite is only a colon.
PATTERNS = {"code": PARTED, "micro": PARTED, "ablation": SEEDS, "training": SEEDS}
PATTERNS |= {"accuracy": READING}
# A largest batch that a CPU had counted was filed under "counted" in place of its suite's case.
COUNTED_CASES = {"memory": "settings", "table4": "ladder"}
NETWORKS_CASE = "networks"  # the case of all other suites with largest batches


def upgrade(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields of a line of version 1, with those of version 2 split off its case.

    Version 1 did not say which process and which run a record comes from, and nothing in it tells
    for sure. Both stay empty, so that records grouped by process count as one process's.
    """
    suite, case = fields.get("suite"), fields.get("case")
    if not isinstance(suite, str) or not isinstance(case, str):
        return fields  # refused, with the name of the field, when the record is built
    if case == "counted" and fields.get("metric") == "largest_batch":
        return fields | {"case": COUNTED_CASES.get(suite, NETWORKS_CASE), "counted": True}
    written = suite in PATTERNS and PATTERNS[suite].fullmatch(case)
    if not written:
        return fields
    split = written.groupdict()
    if "seed" in split:
        split["seed"] = int(split["seed"])
    return fields | split

"""What nvidia-smi reports about a GPU: driver, limits, clocks, heat and memory at that moment."""

from __future__ import annotations

import functools
import math
import subprocess
from typing import Any

from tresnet_lite.records.text import clean

FIELDS = {  # by the names of `Provenance`
    "driver": "driver_version",
    "power_limit": "power.limit",
    "clock": "clocks.sm",
    "clock_max": "clocks.max.sm",
    "memory_clock": "clocks.mem",
    "temperature": "temperature.gpu",
    "memory_total": "memory.total",
    "memory_used": "memory.used",
}
# NVML's bits for what holds clocks down. Idleness (0x1) is left out: it slows nothing that is
# measured.
THROTTLE = {
    0x2: "clocks set by the user",
    0x4: "power cap",
    0x8: "hardware slowdown",
    0x10: "sync boost",
    0x20: "heat (software)",
    0x40: "heat (hardware)",
    0x80: "power brake",
    0x100: "display clocks",
}


def facts(identifier: str) -> dict[str, Any]:
    """One GPU's facts by the names of `Provenance`, without those that it does not report.

    Args:
        identifier: "GPU-…", because nvidia-smi counts all GPUs and torch only those that are
            visible. A part of a GPU (MIG) has one that nvidia-smi cannot query; of that only the
            driver is known.
    """
    answer = query(",".join((*FIELDS.values(), _throttle_field())), f"--id={identifier}")
    if answer is not None:
        return read_facts(answer)
    drivers = (query("driver_version") or "").splitlines()
    return {"driver": _text(drivers[0])} if drivers else {}


def cards() -> list[str]:
    """The GPUs that nvidia-smi lists, each as "name, driver 535.54"; none where it is missing."""
    lines = (query("name,driver_version") or "").splitlines()
    return [clean(line.replace(", ", ", driver ", 1)) for line in lines]


def query(fields: str, *more: str) -> str | None:
    """nvidia-smi's answer, a line for each GPU; None where it is missing or refuses."""
    command = ["nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader,nounits", *more]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


@functools.cache
def _throttle_field() -> str:
    """The field was renamed, and one unknown field makes nvidia-smi answer none of them."""
    name = "clocks_event_reasons.active"
    return name if query(name) is not None else "clocks_throttle_reasons.active"


def read_facts(answer: str) -> dict[str, Any]:
    """One line of nvidia-smi's answer, by the names of `Provenance`; None for what is missing."""
    driver, *numbers, reasons = (text.strip() for text in answer.split(","))
    names = list(FIELDS)[1:]
    values = dict(zip(names, map(_number, numbers), strict=True))
    return {"driver": _text(driver), **values, "throttled": read_throttle(reasons)}


def read_throttle(answer: str) -> str | None:
    """nvidia-smi's bits in words, "" for nothing that holds the clocks down; None for no answer."""
    try:
        bits = int(answer.strip(), 16)
    except ValueError:  # "[N/A]", or nothing
        return None
    return ", ".join(word for bit, word in THROTTLE.items() if bits & bit)


def _text(text: str) -> str | None:
    """None for nvidia-smi's ways to know nothing: "[N/A]", "[Not Supported]", "N/A", "ERR!"."""
    return None if not text or text[0] == "[" or text in ("N/A", "ERR!") else clean(text)


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None

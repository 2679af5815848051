"""The roofline of a device (Williams et al., 2009): two ceilings, and what a model asks of each.

No program computes faster than the device does on data at hand, nor faster than memory feeds it:

    FLOP/s ≤ min(arithmetic ceiling, intensity × bandwidth)
    intensity = FLOP done for each byte moved

One multiply-accumulate is two FLOP, as makers of devices count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F

from tresnet_lite.bench.clock import Timing, clock_options, measure_many
from tresnet_lite.profiles import DTYPES, Profile
from tresnet_lite.records import Conditions, Record, Spread, collect

# What is timed, by kind of device: sides of the square matrices, and of the convolution batch,
# channels and side. The copied matrices, in float32, are larger than any cache (151 MB, 1.1 GB);
# the others do enough with each byte.
COPIED = {"cpu": 6144, "cuda": 16384}
MULTIPLIED = {"cpu": 1024, "cuda": 8192}
CONVOLVED = {"cpu": (4, 256, 28), "cuda": (128, 256, 56)}


@dataclass(frozen=True)
class Work:
    """Something to time: each call of `run` moves `amount` bytes, or computes `amount` FLOP."""

    run: Callable[[], object]
    amount: int
    metric: Literal["bandwidth", "arithmetic"]
    conditions: Conditions


def ceiling_work(device: str | torch.device = "cpu", dtype: str = "float32") -> dict[str, Work]:
    """What reaches a device's ceilings: a copy of memory, and two kinds of arithmetic.

    The copy reads each byte once and writes it once. A 3×3 convolution stands beside the matrix
    product because torch may have a better library for the one than for the other. To compare a
    model with the ceilings, time it together with these (`measure_many`).

    Raises:
        ValueError: an unknown dtype.
    """
    device = torch.device(device)
    if dtype not in DTYPES:
        raise ValueError(f"dtype {dtype!r}: give one of {', '.join(DTYPES)}")
    side = COPIED[device.type]
    # Written now: pages never touched would be read from nowhere.
    source = torch.ones(side, side, device=device)
    target = torch.zeros_like(source)
    copy = Work(lambda: target.copy_(source), 2 * source.nbytes, "bandwidth", Conditions(1, side))
    product, convolution = _product(device, dtype), _convolution(device, dtype)
    return {"copy": copy, "matrix product": product, "3×3 convolution": convolution}


def _product(device: torch.device, dtype: str) -> Work:
    side = MULTIPLIED[device.type]
    left, right = torch.rand(2, side, side, device=device).to(DTYPES[dtype])
    result = torch.empty_like(left)
    ran = Conditions(1, side, dtype)
    return Work(lambda: torch.mm(left, right, out=result), 2 * side**3, "arithmetic", ran)


def _convolution(device: torch.device, dtype: str) -> Work:
    batch, channels, side = CONVOLVED[device.type]
    x = torch.rand(batch, channels, side, side, device=device).to(DTYPES[dtype])
    weight = torch.rand(channels, channels, 3, 3, device=device).to(DTYPES[dtype])
    flop = 2 * 9 * channels**2 * batch * side**2
    ran = Conditions(batch, side, dtype)
    return Work(lambda: F.conv2d(x, weight, padding=1), flop, "arithmetic", ran)


def ceiling_records(
    work: Mapping[str, Work], timings: Mapping[str, Timing], device: str
) -> list[Record]:
    """The timings of `ceiling_work` as records of suite "roofline".

    The condition `resolution` is the side of the matrices or of the convolution's maps.
    """
    provenance, records = collect(device), []
    for name, w in work.items():
        what, rate = ("roofline", "ceilings", name, "inference"), timings[name].rate(w.amount)
        records.append(Record(*what, w.metric, rate, w.conditions, provenance))
    return records


def measure_ceilings(profile: Profile) -> list[Record]:
    """Time a device's ceilings by themselves, in the profile's dtype."""
    work = ceiling_work(profile.device, profile.dtype)
    timings = measure_many({name: w.run for name, w in work.items()}, **clock_options(profile))
    return ceiling_records(work, timings, profile.device)


@dataclass(frozen=True)
class Roofline:
    """A device's two ceilings: `bandwidth` in B/s, `arithmetic` in FLOP/s."""

    bandwidth: Spread
    arithmetic: Spread

    @classmethod
    def from_records(cls, records: Iterable[Record]) -> Roofline:
        """The best of each ceiling's records, by median. Other records are passed over.

        Raises:
            ValueError: no record of one of the ceilings, or records of several devices.
        """
        records = [r for r in records if r.suite == "roofline"]
        if len({r.provenance.device for r in records}) > 1:
            raise ValueError("a roofline belongs to one device, and these records are of several")
        best = {r.metric: r.value for r in sorted(records, key=lambda r: r.value.median)}
        if missing := {"bandwidth", "arithmetic"} - set(best):
            metrics = " and ".join(sorted(missing))
            raise ValueError(f"no record of suite 'roofline' with metric {metrics}")
        return cls(best["bandwidth"], best["arithmetic"])

    @property
    def ridge(self) -> float:
        """The intensity, in FLOP/byte, from which arithmetic is the limit instead of memory."""
        return self.arithmetic.median / self.bandwidth.median

    def attainable(self, intensity: float) -> float:
        """FLOP/s that an operation of this intensity (FLOP/byte) can reach."""
        return min(self.arithmetic.median, intensity * self.bandwidth.median)

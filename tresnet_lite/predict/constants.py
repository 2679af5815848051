"""The constants that come with the package, fitted again; and those of your own device."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from tresnet_lite.predict.devices import Constants, datasheet, sheet_row
from tresnet_lite.predict.fit import Errors, Fit, Speed, fit, left_out
from tresnet_lite.predict.paper_speeds import paper_speeds
from tresnet_lite.predict.roofline import Rules
from tresnet_lite.predict.sources import network_records, published_speeds, record_speeds
from tresnet_lite.records import Record

TWO = ("arithmetic", "bandwidth")
PAPER_FREE = (*TWO, "depthwise", "slowdown")
# Tiles that suit: groups of the V100 and PyTorch of 2020, and of newer ones
PAPER_RULES, RULES = Rules(grouped=32), Rules(grouped=16)
EAGER = "mixed precision, channels first, eager"
# key → device, and the files of timm's that `data/published` quotes. Training was published for
# one card only, so that the others take its slowdown.
PUBLISHED = {
    "rtx3090": (
        "RTX 3090",
        "benchmark-infer-amp-nchw-pt113-cu117-rtx3090.csv",
        "benchmark-train-amp-nchw-pt112-cu113-rtx3090.csv",
    ),
    "rtx4090": ("RTX 4090", "benchmark-infer-amp-nchw-pt291-cu128-4090.csv"),
    "rtx5090": ("RTX 5090", "benchmark-infer-amp-nchw-pt291-cu130-5090.csv"),
}
LENDER = "rtx3090"

V100 = "V100"
fit_paper = partial(fit, free=PAPER_FREE, rules=PAPER_RULES, ceiling=datasheet(V100))


def shipped() -> list[Constants]:
    """The constants of the V100, RTX 3090, 4090 and 5090, fitted to data in the tree."""
    about = {"key": "v100", "device": V100, "way": EAGER, "training": "fitted"}
    about["norm"] = "published"
    source = "the 24 speeds that the paper prints in Tables 1, 3, 4 and 6"
    constants = {"v100": _constants(paper_speeds(), fit_paper, **about, source=source)}
    for key, (device, *files) in PUBLISHED.items():
        speeds = published_speeds(*files)
        free = (*TWO, "slowdown") if len(files) > 1 else TWO
        refit = partial(fit, free=free, rules=RULES, robust=True, ceiling=datasheet(device))
        about = {"key": key, "device": device, "way": EAGER, "training": "fitted", "norm": "bn"}
        source = f"timm's {' and '.join(files)}, the rows in data/published"
        fitted = _constants(speeds, refit, **about, source=source)
        if len(files) == 1:
            fitted = borrow_training(fitted, constants[LENDER])
        constants[key] = fitted
    return list(constants.values())


def borrow_training(constants: Constants, lender: Constants) -> Constants:
    """Constants fitted to inference, with the slowdown of training of another device.

    Its variance comes along, and the spread of that device's residuals.
    """
    own, theirs = constants.fit, lender.fit
    at = theirs.free.index("slowdown")
    count = len(own.free)
    covariance = np.zeros((count + 1, count + 1))
    covariance[:count, :count] = own.covariance
    covariance[count, count] = theirs.covariance[at, at]
    fitted = replace(
        own,
        rates=replace(own.rates, slowdown=theirs.rates.slowdown),
        free=(*own.free, "slowdown"),
        covariance=covariance,
        training_spread=theirs.spread,
    )
    return replace(constants, fit=fitted, training=f"taken from the {lender.device}")


def own_constants(records: Iterable[Record]) -> Constants:
    """Constants of the device that some records are of, from its speeds of whole networks.

    Whether depthwise convolutions have a rate of their own, and operations a least time, is decided
    by which choice predicts networks best that it was not fitted to.

    Raises:
        ValueError: as `record_speeds`, or too few networks.
    """
    records = list(records)
    speeds = record_speeds(records)
    phases = {speed.load.phase for speed in speeds}
    both = ("slowdown",) if len(phases) == 2 else ()
    if "inference" not in phases:
        raise ValueError("records of inference are needed, and may be of training too")
    choices = [both, (*both, "launch"), (*both, "depthwise"), (*both, "depthwise", "launch")]
    networks = len({speed.name for speed in speeds})
    record = network_records(records)[-1]
    device, c = record.provenance.device, record.conditions
    ways = {"rules": RULES, "ceiling": datasheet(device)}
    fits = [partial(fit, free=(*TWO, *choice), **ways) for choice in choices]
    # two networks more than constants, so that one can be left out
    usable = [refit for refit in fits if networks >= len(refit.keywords["free"]) + 2]
    if not usable:
        needed = len(TWO) + len(both) + 2
        raise ValueError(f"speeds of {networks} networks: at least {needed} are needed")
    best = min(usable, key=lambda refit: Errors.of(left_out(speeds, refit)).rms)
    row = sheet_row(device)
    key = (device if row is None else row["device"]).lower().replace(" ", "")
    way = f"{c.dtype}, {c.memory_format.replace('_', ' ')}, {c.compile}"
    source = f"records of {networks} networks, {record.provenance.source}"
    about = {"key": key, "device": device, "way": way, "source": source, "norm": "iabn"}
    return _constants(speeds, best, **about, training="fitted" if both else "as inference")


def _constants(
    speeds: Sequence[Speed], refit: Callable[[Sequence[Speed]], Fit], **about: str
) -> Constants:
    fitted = refit(speeds)
    errors = Errors.of(left_out(speeds, refit))
    numbers = {"speeds": len(speeds), "median": errors.median, "rms": errors.rms}
    return Constants(**about, **numbers, fit=fitted)

"""The model on all of timm's published GPU speeds: fitted to half of a file's networks, judged on
the other half.

The files are the `results/` folder of https://github.com/huggingface/pytorch-image-models.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd

from tresnet_lite.paper.published import benchmark_conditions
from tresnet_lite.predict.fit import Speed, fit, predicted_over_measured
from tresnet_lite.predict.load import Load
from tresnet_lite.predict.sources import Untraceable, timm_load

SOURCE = "https://github.com/huggingface/pytorch-image-models/tree/main/results"
FILES = "benchmark-*.csv"
PREFIX = {"inference": "infer", "training": "train"}
SEED = 0  # of the split into halves
LEAST = 20  # networks of a file


@dataclass(frozen=True)
class Validation:
    """How well one file's unseen halves are predicted.

    Attributes:
        file: its name, which tells how it was measured.
        networks: that were judged.
        dropped: whose parameters or activations are not those published, so other networks.
        median, macs, activations: median |predicted / published - 1| of the model, and of a power
            law of MACs or of activations alone.
        within_10: share of networks within 10 %.
        covered, ratios_covered: share of speeds, and of ratios between two networks, inside of
            their 95 % intervals.
        tflops, gb_per_second: the constants, the mean of both halves'.
    """

    file: str
    networks: int
    dropped: int
    median: float
    macs: float
    activations: float
    within_10: float
    covered: float
    ratios_covered: float
    tflops: float
    gb_per_second: float


def result_files(folder: Path) -> list[Path]:
    """timm's files of GPU speeds in a folder.

    Raises:
        FileNotFoundError: there are none; the message says where to get them.
    """
    files = [file for file in sorted(folder.glob(FILES)) if "cpu" not in file.name]
    if not files:
        advice = f"give the results/ folder of timm's repository, {SOURCE}"
        raise FileNotFoundError(f"no {FILES} of a GPU in {folder}: {advice}")
    return files


def file_speeds(file: Path) -> tuple[list[Speed], int]:
    """The convolutional networks of a file with their loads, and how many were dropped.

    Convolutional is what has batch norm and no attention. A row is dropped where its published
    parameters or activations are not those counted: another version of timm called another network
    by that name, or changed it before it was timed.
    """
    phase = benchmark_conditions(file.name)["phase"]
    speeds, dropped = [], 0
    for row in pd.read_csv(file).to_dict("records"):
        load = _load(row, phase)
        if load is None or load.has_attention or not load.has_batch_norm:
            continue
        if not _is_what_it_says(row, load):
            dropped += 1
            continue
        batch, speed = (
            row[f"{PREFIX[phase]}_{name}"] for name in ("batch_size", "samples_per_sec")
        )
        speeds.append(Speed(row["model"], load, int(batch), speed))
    return speeds, dropped


def _load(row: dict, phase: str) -> Load | None:
    """None for what cannot be traced, such as a network that left timm."""
    try:
        return timm_load(row["model"], int(row[f"{PREFIX[phase]}_img_size"]), phase)
    except Untraceable:
        return None


def _is_what_it_says(row: dict, load: Load) -> bool:
    """Are the published millions of parameters and activations the counted ones, to rounding?"""
    pairs = [(row["param_count"], load.parameters)]
    if "infer_macts" in row and not np.isnan(row["infer_macts"]):
        pairs.append((row["infer_macts"], load.activations))
    return all(abs(ours / 1e6 - printed) <= 0.006 + 0.002 * printed for printed, ours in pairs)


def validate(file: Path) -> Validation:
    """Fit two constants to half of a file's networks, predict the other; then the other way.

    Raises:
        ValueError: too few networks that can be judged.
    """
    speeds, dropped = file_speeds(file)
    if len(speeds) < LEAST:
        raise ValueError(f"{file.name}: {len(speeds)} networks can be judged, {LEAST} are needed")
    order = np.random.default_rng(SEED).permutation(len(speeds))
    halves = [[speeds[i] for i in order[start::2]] for start in (0, 1)]
    ratios, fits, inside, pairs_inside, proxies = [], [], [], [], {"macs": [], "acts": []}
    for seen, unseen in (halves, halves[::-1]):
        fitted = fit(seen, robust=True)
        fits.append(fitted)
        ratios += [predicted_over_measured(speed, fitted) for speed in unseen]
        for speed in unseen:
            interval = fitted.predict(speed.load, speed.batch)
            inside.append(interval.low <= speed.images_per_second <= interval.high)
        for one, other in pairwise(unseen):
            interval = fitted.ratio((one.load, one.batch), (other.load, other.batch))
            real = one.images_per_second / other.images_per_second
            pairs_inside.append(interval.low <= real <= interval.high)
        proxies["macs"] += power_law(seen, unseen, lambda load: load.macs.sum())
        proxies["acts"] += power_law(seen, unseen, lambda load: load.activations)
    off = np.abs(np.array(ratios) - 1)
    return Validation(
        file.name,
        len(speeds),
        dropped,
        float(np.median(off)),
        *(float(np.median(np.abs(np.array(proxy) - 1))) for proxy in proxies.values()),
        float((off <= 0.1).mean()),
        float(np.mean(inside)),
        float(np.mean(pairs_inside)),
        float(np.mean([2 * fitted.rates.arithmetic / 1e12 for fitted in fits])),
        float(np.mean([fitted.rates.bandwidth / 1e9 for fitted in fits])),
    )


def power_law(
    seen: Sequence[Speed], unseen: Sequence[Speed], proxy: Callable[[Load], float]
) -> list[float]:
    """Predicted over published speed by speed = a · proxy^b, fitted to the networks seen."""
    logs = [
        (np.log([proxy(s.load) for s in half]), np.log([s.images_per_second for s in half]))
        for half in (seen, unseen)
    ]
    law = np.polynomial.Polynomial.fit(*logs[0], deg=1)
    x, y = logs[1]
    return np.exp(law(x) - y).tolist()


def line(v: Validation) -> str:
    """A validation for a reader."""
    errors = f"{v.median:.1%} (MACs {v.macs:.0%}, activations {v.activations:.0%})"
    shares = f"{v.within_10:.0%} within 10 %; inside {v.covered:.0%}, {v.ratios_covered:.0%}"
    dropped = f", {v.dropped} dropped" if v.dropped else ""
    return f"{v.file}: {v.networks} networks{dropped}: {errors}; {shares}"

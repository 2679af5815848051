"""Checks of claims about whole tables (see `claims`, which calls them by name)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import pairwise

import pandas as pd
import torch

from tresnet_lite.claims.verdict import COUNTED, DIFFERS, NOT_ATTEMPTED, REPRODUCED, Verdict
from tresnet_lite.counting.kept import kept_mb
from tresnet_lite.counting.networks import build
from tresnet_lite.experiments.table1 import sizes
from tresnet_lite.findings import tables
from tresnet_lite.paper import paper_table
from tresnet_lite.records import Record

IMAGENET = 1_281_167  # training images
EPOCHS = 300  # §3.1


def outpaces(
    records: list[Record],
    *,
    table: int,
    phase: str,
    network: str,
    than: Sequence[str],
    margin: float = 1.0,
) -> list[Verdict]:
    """Is `network` at least `margin` times as fast as each of the others, each at its own
    resolution?

    Networks are named as the paper's table `table` (1 or 3) names them. Beyond the margin the
    quartiles must not overlap either.
    """
    verdicts = []
    for label, lines in _runs(records, table, phase):
        missing = [name for name in (network, *than) if not lines.at[name, "measured"] > 0]
        if missing:
            verdicts.append(
                Verdict(NOT_ATTEMPTED, f"no records of {', '.join(missing)}, {phase}", label=label)
            )
            continue
        ours = lines.loc[network]
        ratios = {name: ours.measured / lines.at[name, "measured"] for name in than}
        behind = [n for n in than if ratios[n] >= margin and ours.q1 > lines.at[n, "q3"]]
        ahead = [f"{n} {ratios[n]:.2f}×" for n in than if n not in behind]
        least = f"{'≥' if margin > 1 else '>'} {margin:g}×"
        why = f"of {len(than)}, all" if not ahead else f"of {len(than)}, not {', '.join(ahead)}"
        told = f"{min(ratios.values()):.2f}–{max(ratios.values()):.2f}×"
        verdicts.append(Verdict(DIFFERS if ahead else REPRODUCED, why, least, told, label))
    return verdicts or [
        Verdict(NOT_ATTEMPTED, f"no records; needs table {table}'s networks, {phase} at 224 px")
    ]


def directions(records: list[Record], *, phase: str) -> list[Verdict]:
    """Does each rung of Table 4 change the speed in the direction that the paper's inference speeds
    do?
    """
    printed = paper_table(4).set_index("refinement")["inference_img_s"]
    verdicts = []
    for label, lines in _runs(records, 4, phase):
        if lines["measured"].isna().any():
            missing = ", ".join(lines.index[lines["measured"].isna()])
            verdicts.append(
                Verdict(NOT_ATTEMPTED, f"no records of {missing}, {phase}", label=label)
            )
            continue
        wrong = []
        for before, after in pairwise(lines.index):
            a, b = lines.loc[before], lines.loc[after]
            same_way = b.q1 > a.q3 if printed[after] > printed[before] else b.q3 < a.q1
            if not same_way:
                wrong.append(f"{after} {b.measured / a.measured - 1:+.1%}")
        steps = len(lines) - 1
        why = "all steps beyond the spread" if not wrong else f"not {', '.join(wrong)}"
        told = f"{steps - len(wrong)} of {steps} steps"
        verdicts.append(
            Verdict(DIFFERS if wrong else REPRODUCED, why, f"{steps} steps", told, label)
        )
    return verdicts or [
        Verdict(NOT_ATTEMPTED, f"no records; needs table 4's rungs, {phase} at 224 px")
    ]


def trains_within(
    records: list[Record], *, networks: Sequence[str], gpu: str, gpus: int, hours: float
) -> list[Verdict]:
    """Would `gpus` of that GPU, at the measured speed each, be through 300 epochs of ImageNet
    within so many hours?
    """
    verdicts = []
    for label, lines in _runs(records, 3, "training"):
        speeds = lines.loc[list(networks), "measured"]
        if gpu not in label or speeds.isna().any():
            continue
        took = {name: EPOCHS * IMAGENET / (gpus * speed) / 3600 for name, speed in speeds.items()}
        why = f"{EPOCHS} epochs at the speed of one GPU times {gpus}, the validation left out"
        told = ", ".join(f"{name} {time:.1f} h" for name, time in took.items())
        good = max(took.values()) < hours
        verdicts.append(
            Verdict(REPRODUCED if good else DIFFERS, why, f"< {hours:g} h", told, label)
        )
    return verdicts or [Verdict(NOT_ATTEMPTED, f"needs the training speed of a {gpu} at 224 px")]


def table_1_macs(records: list[Record], *, but: Sequence[str] = ()) -> list[Verdict]:
    """Do the networks of Table 1, those in `but` aside, take the multiply-accumulates printed, to
    the last digit?
    """

    counted = sizes().query("network not in @but").set_index("network")
    # Two figures of which one is rounded agree when they differ by half a unit of the digit that it
    # ends in.
    off = counted[(counted["macs"] - counted["paper_macs"]).abs() > 0.05]
    why = ", ".join(
        f"{name} {row.macs:.2f} G, printed {row.paper_macs:g}" for name, row in off.iterrows()
    )
    told = f"{len(counted) - len(off)} of {len(counted)}"
    return [
        Verdict(
            DIFFERS if len(off) else REPRODUCED,
            why or "all agree",
            f"{len(counted)}",
            told,
            COUNTED,
        )
    ]


def multi_path_keeps(
    records: list[Record], *, networks: Sequence[str], than: str, side: int = 224
) -> list[Verdict]:
    """Do these networks of Table 1 keep more for backward, an image in half precision, than the
    network `than`?
    """
    kept = {name: _kept(tables.MODELS[name], side) for name in (than, *networks)}
    ratios = {name: kept[name] / kept[than] for name in networks}
    why = f"kept for backward an image, bfloat16, {side} px; {than} = 1"
    told = ", ".join(f"{name} {ratio:.2f}×" for name, ratio in ratios.items())
    return [
        Verdict(REPRODUCED if min(ratios.values()) > 1 else DIFFERS, why, "> 1×", told, COUNTED)
    ]


@cache
def _kept(model: str, side: int) -> float:
    """MB that a network of Table 1 keeps of an image for backward, all in half precision."""
    with torch.device("meta"):
        network = build(model).bfloat16()
    return kept_mb(network, (3, side, side))


def _runs(records: list[Record], table: int, phase: str) -> list[tuple[str, pd.DataFrame]]:
    """For each run at the paper's resolution its label and its lines of one phase, indexed by
    network.
    """
    make = {1: tables.table1, 3: tables.table3, 4: tables.table4}[table]
    frame = make(records).query("phase == @phase and side == @tables.PAPER_SIDE")
    some = frame.dropna(subset="measured")["run"].unique()
    return [
        (lines["label"].iloc[0], lines.set_index("network"))
        for run, lines in frame.groupby("run")
        if run in some
    ]

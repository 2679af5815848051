"""Checks of claims about whole tables: 1, 3 and 4."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pandas as pd

from tresnet_lite.claims.verdict import Verdict, counted, judge, not_attempted, span
from tresnet_lite.experiments.table1 import network_sizes
from tresnet_lite.findings import tables
from tresnet_lite.paper import paper_table
from tresnet_lite.records import Record

IMAGENET_IMAGES = 1_281_167  # training images
EPOCHS = 300  # §3.1


def outpaces(
    records: list[Record],
    *,
    table: int,
    phase: str,
    network: str,
    others: Sequence[str],
    margin: float = 1.0,
) -> list[Verdict]:
    """Is `network` at least `margin` times as fast as each of the others, at its own resolution?

    Networks are named as the paper's table `table` (1 or 3) names them. Beyond the margin the
    quartiles must not overlap either.
    """
    runs = _runs(records, table, phase)
    verdicts = [_outpaces(lines, network, others, margin, label) for label, lines in runs]
    needs = f"no records; needs table {table}'s networks, {phase} at 224 px"
    return verdicts or [not_attempted(needs)]


def _outpaces(
    lines: pd.DataFrame, network: str, others: Sequence[str], margin: float, label: str
) -> Verdict:
    missing = [name for name in (network, *others) if not lines.at[name, "measured"] > 0]
    if missing:
        return _incomplete(lines, missing, label)
    ours = lines.loc[network]
    ratios = {name: ours.measured / lines.at[name, "measured"] for name in others}
    behind = [n for n in others if ratios[n] >= margin and ours.q1 > lines.at[n, "q3"]]
    ahead = [f"{n} {ratios[n]:.2f}×" for n in others if n not in behind]
    why = f"of {len(others)}, {'not ' + ', '.join(ahead) if ahead else 'all'}"
    least = f"{'≥' if margin > 1 else '>'} {margin:g}×"
    return judge(not ahead, why, least, span(ratios.values()), label)


def directions(records: list[Record], *, phase: str) -> list[Verdict]:
    """Does each rung of Table 4 change the speed in the direction that the paper's does?"""
    verdicts = [_directions(lines, label) for label, lines in _runs(records, 4, phase)]
    return verdicts or [not_attempted(f"no records; needs table 4's rungs, {phase} at 224 px")]


def _directions(lines: pd.DataFrame, label: str) -> Verdict:
    missing = list(lines.index[lines["measured"].isna()])
    if missing:
        return _incomplete(lines, missing, label)
    printed = paper_table(4).set_index("refinement")["inference_img_s"]
    wrong = []
    for before, after in pairwise(lines.index):
        a, b = lines.loc[before], lines.loc[after]
        same_way = b.q1 > a.q3 if printed[after] > printed[before] else b.q3 < a.q1
        if not same_way:
            wrong.append(f"{after} {b.measured / a.measured - 1:+.1%}")
    steps = len(lines) - 1
    why = f"not {', '.join(wrong)}" if wrong else "all steps beyond the spread"
    ours = f"{steps - len(wrong)} of {steps} steps"
    return judge(not wrong, why, f"{steps} steps", ours, label)


def trains_within(
    records: list[Record], *, networks: Sequence[str], gpu: str, gpus: int, hours: float
) -> list[Verdict]:
    """Would `gpus` such GPUs, each at the speed of one, train 300 epochs in less than `hours`?"""
    verdicts = []
    for label, lines in _runs(records, 3, "training"):
        speeds = lines.loc[list(networks), "measured"]
        if gpu not in label or speeds.isna().any():
            continue
        images = EPOCHS * IMAGENET_IMAGES
        times = {name: images / (gpus * speed) / 3600 for name, speed in speeds.items()}
        why = f"{EPOCHS} epochs at the speed of one GPU times {gpus}, the validation left out"
        ours = ", ".join(f"{name} {time:.1f} h" for name, time in times.items())
        verdicts.append(judge(max(times.values()) < hours, why, f"< {hours:g} h", ours, label))
    return verdicts or [not_attempted(f"needs the training speed of a {gpu} at 224 px")]


def table_1_macs(records: list[Record], *, but: Sequence[str] = ()) -> list[Verdict]:
    """Do Table 1's networks, without those in `but`, take the multiply-accumulates printed?"""
    ours = network_sizes().query("network not in @but").set_index("network")
    # Two figures of which one is rounded agree when they differ by half a unit of the digit that it
    # ends in.
    off = ours[(ours["macs"] - ours["paper_macs"]).abs() > 0.05]
    differing = (
        f"{row.Index} {row.macs:.2f} G, printed {row.paper_macs:g}" for row in off.itertuples()
    )
    why = ", ".join(differing) or "all agree"
    return [counted(off.empty, why, f"{len(ours)}", f"{len(ours) - len(off)} of {len(ours)}")]


def _incomplete(lines: pd.DataFrame, missing: list[str], label: str) -> Verdict:
    phase = lines["phase"].iloc[0]
    return not_attempted(f"no records of {', '.join(missing)}, {phase}", label=label)


def _runs(records: list[Record], number: int, phase: str) -> list[tuple[str, pd.DataFrame]]:
    """For each run at the paper's size its label, and its lines of one phase by network."""
    table = {1: tables.table1, 3: tables.table3, 4: tables.table4}[number]
    frame = table(records).query("phase == @phase and side == @tables.PAPER_SIDE")
    runs = frame.groupby("run")
    return [
        (lines["label"].iloc[0], lines.set_index("network"))
        for _, lines in runs
        if lines["measured"].notna().any()
    ]

"""Checks of claims about whole tables: 1, 3 and 4."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import pandas as pd

from tresnet_lite.bench.comparisons import EFFICIENTNETS
from tresnet_lite.claims.verdict import (
    OTHER_LAYER,
    Verdict,
    counted,
    inconclusive,
    judge,
    not_attempted,
    span,
)
from tresnet_lite.experiments.table1 import network_sizes
from tresnet_lite.findings import tables
from tresnet_lite.findings.ratios import ratio_of
from tresnet_lite.findings.tables import PAPER_SIDE
from tresnet_lite.paper import MODELS, paper_table
from tresnet_lite.records import Record
from tresnet_lite.records.selection import standing

IMAGENET_IMAGES = 1_281_167  # training images
EPOCHS = 300  # §3.1

Networks = Mapping[str, list[Record]]  # model → what each process measured


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

    Networks are named as the paper's table `table` (1 or 3) names them.
    """
    suite = f"table{table}"
    verdicts = [
        _outpaces(networks, network, others, margin, phase)
        for networks in _networks(records, suite=suite, case="networks", phase=phase)
    ]
    needs = f"no records; needs table {table}'s networks, {phase} at 224 px"
    return verdicts or [not_attempted(needs)]


def _outpaces(
    networks: Networks, network: str, others: Sequence[str], margin: float, phase: str
) -> Verdict:
    missing = [name for name in (network, *others) if MODELS[name] not in networks]
    label = next(iter(networks.values()))[-1].label
    if missing:
        return not_attempted(f"no records of {', '.join(missing)}, {phase}", label=label)
    ours = networks[MODELS[network]]
    ratios = {name: ratio_of(ours, networks[MODELS[name]]) for name in others}
    ahead = [f"{n} {r.value:.2f}×" for n, r in ratios.items() if r.high < margin]
    unclear = [f"{n} {r.value:.2f}×" for n, r in ratios.items() if r.low < margin <= r.high]
    figures = (f"{'≥' if margin > 1 else '>'} {margin:g}×", span(r.value for r in ratios.values()))
    if any(ratio.other_layer for ratio in ratios.values()):
        return inconclusive(OTHER_LAYER, *figures, label)
    if unclear and not ahead:
        method = next(iter(ratios.values())).method
        why = f"of {len(others)}, undecided: {', '.join(unclear)} ({method})"
        return inconclusive(why, *figures, label)
    why = f"of {len(others)}, {'not ' + ', '.join(ahead) if ahead else 'all'}"
    return judge(not ahead, why, *figures, label)


def directions(records: list[Record], *, phase: str) -> list[Verdict]:
    """Does each rung of Table 4 change the speed in the direction that the paper's does?"""
    verdicts = [
        _directions(rungs, phase)
        for rungs in _networks(records, suite="table4", case="ladder", phase=phase)
    ]
    return verdicts or [not_attempted(f"no records; needs table 4's rungs, {phase} at 224 px")]


def _directions(rungs: Networks, phase: str) -> Verdict:
    printed = paper_table(4).set_index("refinement")["inference_img_s"]
    label = next(iter(rungs.values()))[-1].label
    if missing := [name for name in printed.index if name not in rungs]:
        return not_attempted(f"no records of {', '.join(missing)}, {phase}", label=label)
    wrong, unclear = [], []
    for before, after in pairwise(printed.index):
        step = ratio_of(rungs[after], rungs[before])
        name = f"{after} {step.value - 1:+.1%}"
        if step.other_layer:
            unclear.append(f"{name} ({OTHER_LAYER})")
        elif step.low <= 1 <= step.high:
            unclear.append(name)
        elif (step.value > 1) != (printed[after] > printed[before]):
            wrong.append(name)
    steps = len(printed) - 1
    figures = (f"{steps} steps", f"{steps - len(wrong) - len(unclear)} of {steps} steps", label)
    if unclear and not wrong:
        return inconclusive(f"undecided: {', '.join(unclear)}", *figures)
    why = f"the other way: {', '.join(wrong)}" if wrong else "all steps, beyond their intervals"
    return judge(not wrong, why, *figures)


def _networks(records: list[Record], **where: str) -> list[Networks]:
    """For each device and way of running that timed whole networks at 224 px, the speeds by model.

    EfficientNets stand in their own size beside networks of 224 pixels. Of several batches those
    count that most processes timed, then the largest.
    """
    ways: dict[tuple, dict[str, list[list[Record]]]] = {}
    for repeats in standing(records).values():
        r, c = repeats[-1], repeats[-1].conditions
        own = EFFICIENTNETS.get(r.model, PAPER_SIDE)
        if r.metric != "throughput" or any(getattr(r, name) != x for name, x in where.items()):
            continue
        if c.resolution == own and c.width is None:
            way = (r.provenance.device, c.dtype, c.memory_format, c.compile, c.memory_budget)
            ways.setdefault(way, {}).setdefault(r.model, []).append(repeats)
    return [
        {model: max(of_model, key=_best_known) for model, of_model in models.items()}
        for models in ways.values()
    ]


def _best_known(repeats: list[Record]) -> tuple[int, int]:
    return len(repeats), repeats[-1].conditions.batch


def trains_within(
    records: list[Record], *, networks: Sequence[str], gpu: str, gpus: int, hours: float
) -> list[Verdict]:
    """Would `gpus` such GPUs, each at the speed of one, train 300 epochs in less than `hours`?"""
    verdicts = []
    for label, lines in _runs(records, "training"):
        speeds = lines.loc[list(networks), "measured"]
        if gpu not in label or speeds.isna().any():
            continue
        good, why, ours = trained_in_time(speeds, gpus, hours)
        verdicts.append(judge(good, why, f"< {hours:g} h", ours, label))
    return verdicts or [not_attempted(f"needs the training speed of a {gpu} at 224 px")]


def trained_in_time(speeds: Mapping[str, float], gpus: int, hours: float) -> tuple[bool, str, str]:
    """Would all epochs take less than `hours` at these images per second? Why, and the times."""
    images = EPOCHS * IMAGENET_IMAGES
    times = {name: images / (gpus * speed) / 3600 for name, speed in speeds.items()}
    why = f"{EPOCHS} epochs at the speed of one GPU times {gpus}, the validation left out"
    return max(times.values()) < hours, why, ", ".join(f"{n} {t:.1f} h" for n, t in times.items())


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


def _runs(records: list[Record], phase: str) -> list[tuple[str, pd.DataFrame]]:
    """For each run of Table 3 at the paper's size its label, and its lines of one phase."""
    frame = tables.table3(records).query("phase == @phase and side == @tables.PAPER_SIDE")
    runs = frame.groupby("run")
    return [
        (lines["label"].iloc[0], lines.set_index("network"))
        for _, lines in runs
        if lines["measured"].notna().any()
    ]

"""Checks of claims about memory: what training keeps for backward, and largest batches."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import torch
from torch import nn

from tresnet_lite.claims.verdict import Verdict, counted, judge, near, not_attempted
from tresnet_lite.counting.kept import kept_for_backward, kept_mb, kept_per_image
from tresnet_lite.counting.networks import build, with_one_path
from tresnet_lite.experiments.in_place import kept_table
from tresnet_lite.findings.tables import PAPER_SIDE
from tresnet_lite.layers import InPlaceABN
from tresnet_lite.model import create_model
from tresnet_lite.paper import MODELS, paper_ratio
from tresnet_lite.records import Record, latest


def keeps_fewer_maps(records: list[Record], *, operation: str) -> list[Verdict]:
    """Does training keep fewer feature maps when an operation of §2.2 is done in place?"""
    row = kept_table().set_index("operation").loc[operation]
    out, into = row["kept out"], row["kept in"]
    why = f"a convolution and the operation keep {out:g} map(s) out of place, {into:g} in place"
    return [counted(into < out, why, "fewer", f"{out:g} → {into:g}")]


def keeps_less(
    records: list[Record], *, network: dict, base: dict, at_least: float
) -> list[Verdict]:
    """Does `network` keep at least so many times as much per image as `base`?"""
    ratio = _kept(**network) / _kept(**base)
    why = f"bytes kept for backward at {PAPER_SIDE} px, bfloat16"
    return [counted(ratio >= at_least, why, f"≥ {at_least:g}×", f"{ratio:.3f}×")]


def kept_ratio(
    records: list[Record], *, network: dict, base: dict, paper: dict[str, dict], tolerance: float
) -> list[Verdict]:
    """Is the ratio of what `network` and `base` keep that of the paper's largest batches?"""
    ratio, printed = _kept(**network) / _kept(**base), paper_ratio(**paper)
    good, why = near(ratio, printed, tolerance)
    return [counted(good, f"{why}, bfloat16", f"{printed:.3f}×", f"{ratio:.3f}×")]


def _kept(model: str, **options: str) -> float:
    """Bytes that an image more makes a network of ours keep; as `create_model` takes it."""
    return sum(kept_per_image(model, "bfloat16", **options).values())


def activations_keep(
    records: list[Record], *, activations: list[str], base: str, same: bool
) -> list[Verdict]:
    """Do convolution, BatchNorm, activation, convolution keep as much as with `base`, or more?

    Activations are names of `torch.nn`; they work in place.
    """
    ratios = {name: _kept_with(name) / _kept_with(base) for name in activations}
    good = all(ratio == 1 if same else ratio > 1 for ratio in ratios.values())
    ours = ", ".join(f"{name} {ratio:.2f}×" for name, ratio in ratios.items())
    unit = "convolution, BatchNorm, activation and convolution"
    why = f"bytes kept for backward by {unit}; {base} = 1"
    return [counted(good, why, "1×" if same else "> 1×", ours)]


def _kept_with(activation: str) -> int:
    with torch.device("meta"):
        middle = [nn.BatchNorm2d(8), getattr(nn, activation)(inplace=True)]
        unit = nn.Sequential(nn.Conv2d(8, 8, 1), *middle, nn.Conv2d(8, 8, 1))
        return sum(item.bytes for item in kept_for_backward(unit, torch.empty(2, 8, 16, 16)))


def norms_in_place(records: list[Record], *, model: str) -> list[Verdict]:
    """Is every norm of `model` an Inplace-ABN?"""
    with torch.device("meta"):
        modules = list(create_model(model).modules())
    in_place = sum(isinstance(module, InPlaceABN) for module in modules)
    others = sum(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in modules)
    count = f"{in_place} of {in_place + others}"
    why = "norms that are Inplace-ABN, in front of an activation or at a block's end"
    return [counted(not others, why, "all", count)]


def multi_path_keeps(
    records: list[Record], *, networks: Sequence[str], base: str, side: int = PAPER_SIDE
) -> list[Verdict]:
    """Do the paths of these networks of Table 1 make them keep more for backward, in halves?

    A network is set against itself with its paths joined into one of the same widths, so that the
    paths alone differ. What it keeps relative to `base`, which its widths decide as well, is told.
    """
    kept = _kept_by_table_1(base, side)
    paths, whole = {}, []
    for name in networks:
        many, one = (_kept_by_table_1(name, side, one_path=one) for one in (False, True))
        paths[name] = many / one
        whole.append(f"{name} keeps {many / kept:.2f} times as much as {base}")
    ours = ", ".join(f"{name} {ratio:.2f}×" for name, ratio in paths.items())
    widths = "no more than with one path of the same widths"
    why = f"{', '.join(whole)}" + ("" if min(paths.values()) > 1 else f", but {widths}")
    return [counted(min(paths.values()) > 1, f"{why} (bfloat16, {side} px)", "> 1×", ours)]


@cache
def _kept_by_table_1(name: str, side: int, one_path: bool = False) -> float:
    """MB that an image more makes a network of Table 1 keep, all in half precision."""
    with torch.device("meta"):
        network = build(MODELS[name]).bfloat16()
        network = with_one_path(network).bfloat16() if one_path else network
    return kept_mb(network, (3, side, side))


def larger_batch(
    records: list[Record], *, network: dict, base: dict, at_least: float
) -> list[Verdict]:
    """Is the largest batch of `network` at least so many times that of `base`?"""
    pairs, absent = _largest_batches(records, network, base)
    verdicts = []
    for a, b in pairs:
        ratio = a.value.median / b.value.median
        why = f"largest batches {a.value.median:g} and {b.value.median:g}"
        ours = f"{ratio:.3f}×"
        verdicts.append(judge(ratio >= at_least, why, f"≥ {at_least:g}×", ours, a.label))
    return absent or verdicts


def largest_batch_ratio(
    records: list[Record], *, network: dict, base: dict, paper: dict[str, dict], tolerance: float
) -> list[Verdict]:
    """Is the largest batch of `network` over that of `base` the ratio of the paper's two?"""
    printed = paper_ratio(**paper)
    pairs, absent = _largest_batches(records, network, base)
    verdicts = []
    for a, b in pairs:
        ratio = a.value.median / b.value.median
        good, why = near(ratio, printed, tolerance)
        verdicts.append(judge(good, why, f"{printed:.3f}×", f"{ratio:.3f}×", a.label))
    return absent or verdicts


def _largest_batches(
    records: list[Record], network: dict, base: dict
) -> tuple[list[tuple[Record, Record]], list[Verdict]]:
    """Pairs of largest batches, of any suite, that were tried alike; and what to say without.

    A network is its `model`, and the `norm` and `memory` that its record's conditions must have,
    where given.
    """
    searches: dict[tuple, dict[int, Record]] = {}
    for r in latest(records):
        c = r.conditions
        if r.metric != "largest_batch" or r.counted or c.resolution != PAPER_SIDE:
            continue  # what counting says of batches, other claims judge once
        way = (r.provenance.device, c.dtype, c.memory_format, c.compile, c.memory_budget)
        options = {"model": r.model, "norm": c.norm, "memory": c.memory}
        for place, wanted in enumerate((network, base)):
            if wanted.items() <= options.items():
                searches.setdefault(way, {})[place] = r
    pairs = [(both[0], both[1]) for both in searches.values() if len(both) == 2]
    names = " and ".join(", ".join(map(str, wanted.values())) for wanted in (network, base))
    needs = f"needs a GPU's memory filled, at {PAPER_SIDE} px, by {names}"
    return pairs, [] if pairs else [not_attempted(f"no records; {needs}")]

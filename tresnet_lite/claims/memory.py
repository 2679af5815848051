"""Checks of claims about memory: what training keeps, and largest batches."""

from __future__ import annotations

import torch
from torch import nn

from tresnet_lite.claims.verdict import COUNTED, NOT_ATTEMPTED, Verdict, judge, near
from tresnet_lite.counting.kept import kept_for_backward, kept_per_image
from tresnet_lite.experiments.in_place import kept_table
from tresnet_lite.paper import paper_value
from tresnet_lite.records import Record, latest


def keeps_fewer_maps(records: list[Record], *, operation: str) -> list[Verdict]:
    """Does training keep fewer feature maps when an operation of the chapter on §2.2 is done in
    place?
    """

    row = kept_table().set_index("operation").loc[operation]
    out, into = row["kept out"], row["kept in"]
    why = f"a convolution and the operation keep {out:g} map(s) out of place, {into:g} in place"
    return [Verdict(judge(into < out), why, "fewer", f"{out:g} → {into:g}", COUNTED)]


def keeps_less(
    records: list[Record], *, of: dict, to: dict, at_least: float, dtype: str = "bfloat16"
) -> list[Verdict]:
    """Does network `of` keep at least so many times as much for backward as network `to`, an image
    at 224 px?
    """
    ratio = _kept(of, dtype) / _kept(to, dtype)
    why = f"bytes kept for backward at 224 px, {dtype}"
    return [Verdict(judge(ratio >= at_least), why, f"≥ {at_least:g}×", f"{ratio:.3f}×", COUNTED)]


def kept_ratio(
    records: list[Record],
    *,
    of: dict,
    to: dict,
    paper: dict[str, dict],
    tolerance: float,
    dtype: str = "bfloat16",
) -> list[Verdict]:
    """Is what `of` keeps for backward over what `to` keeps the ratio of the paper's two largest
    batches?
    """
    printed = paper_value(**paper["of"]) / paper_value(**paper["to"])
    ratio = _kept(of, dtype) / _kept(to, dtype)
    good, why = near(ratio, printed, tolerance)
    return [Verdict(judge(good), f"{why}, {dtype}", f"{printed:.3f}×", f"{ratio:.3f}×", COUNTED)]


def _kept(network: dict[str, str], dtype: str) -> float:
    """Bytes an image that a network keeps; `network` holds `create_model`'s arguments."""
    options = {key: value for key, value in network.items() if key != "model"}
    return sum(kept_per_image(network["model"], dtype, **options).values())


def activations_keep(
    records: list[Record], *, activations: list[str], than: str, same: bool
) -> list[Verdict]:
    """Do convolution, BatchNorm, activation, convolution keep as much with these activations as
    with `than`, or more?

    Activations are names of `torch.nn`; they work in place.
    """
    first, *others = (_kept_with(name) for name in (than, *activations))
    good = all(kept == first if same else kept > first for kept in others)
    ours = ", ".join(
        f"{name} {kept / first:.2f}×" for name, kept in zip(activations, others, strict=True)
    )
    why = (
        f"bytes kept for backward by convolution, BatchNorm, activation and convolution; {than} = 1"
    )
    return [Verdict(judge(good), why, "1×" if same else "> 1×", ours, COUNTED)]


def _kept_with(activation: str) -> int:
    with torch.device("meta"):
        middle = [nn.BatchNorm2d(8), getattr(nn, activation)(inplace=True)]
        unit = nn.Sequential(nn.Conv2d(8, 8, 1), *middle, nn.Conv2d(8, 8, 1))
        return sum(item.bytes for item in kept_for_backward(unit, torch.empty(2, 8, 16, 16)))


def larger_batch(
    records: list[Record], *, of: dict, to: dict, at_least: float, resolution: int = 224
) -> list[Verdict]:
    """Is the largest batch of network `of` at least so many times that of network `to`?"""
    pairs, verdicts = _largest_batches(records, of, to, resolution)
    for a, b in pairs:
        ratio = a.value.median / b.value.median
        why = f"largest batches {a.value.median:g} and {b.value.median:g}"
        verdicts.append(
            Verdict(judge(ratio >= at_least), why, f"≥ {at_least:g}×", f"{ratio:.3f}×", a.label)
        )
    return verdicts


def largest_batch_ratio(
    records: list[Record],
    *,
    of: dict,
    to: dict,
    paper: dict[str, dict],
    tolerance: float,
    resolution: int = 224,
) -> list[Verdict]:
    """Is the largest batch of network `of` over that of `to` the ratio of the paper's two?"""
    printed = paper_value(**paper["of"]) / paper_value(**paper["to"])
    pairs, verdicts = _largest_batches(records, of, to, resolution)
    for a, b in pairs:
        ratio = a.value.median / b.value.median
        good, why = near(ratio, printed, tolerance)
        verdicts.append(Verdict(judge(good), why, f"{printed:.3f}×", f"{ratio:.3f}×", a.label))
    return verdicts


def _largest_batches(
    records: list[Record], of: dict, to: dict, resolution: int
) -> tuple[list[tuple[Record, Record]], list[Verdict]]:
    """Pairs of largest batches of two networks, of any suite, that were searched alike; and what to
    answer without.

    A network is its `model`, and the `norm` and `memory` that its record's conditions must have,
    where given.
    """
    found: dict[tuple, dict[int, Record]] = {}
    for r in latest(records):
        c = r.conditions
        if r.metric != "largest_batch" or c.resolution != resolution:
            continue
        way = (r.provenance.device, c.dtype, c.memory_format, c.compile, c.memory_budget)
        for side, network in enumerate((of, to)):
            options = {"model": r.model, "norm": c.norm, "memory": c.memory}
            if all(options[key] == value for key, value in network.items()):
                found.setdefault(way, {})[side] = r
    pairs = [(both[0], both[1]) for both in found.values() if len(both) == 2]
    named = " and ".join(", ".join(map(str, network.values())) for network in (of, to))
    needs = f"no records; needs the largest batches at {resolution} px of {named}"
    return pairs, [] if pairs else [Verdict(NOT_ATTEMPTED, needs)]

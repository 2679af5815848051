"""On how many lines of others' GPUs a claim holds: timm's files, as `data/published` quotes them.

A line is a device, a version of torch and a way of running. Each is one figure per network, without
a spread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache

import pandas as pd

from tresnet_lite.bench.comparisons import EFFICIENTNETS, ONE_PHASE
from tresnet_lite.claims.asked import Asked, Network, arguments, asked
from tresnet_lite.claims.evidence import DEPENDS, FAILS, HOLDS, Evidence, shortened
from tresnet_lite.claims.printed import rank_correlation
from tresnet_lite.experiments.table1 import network_sizes
from tresnet_lite.findings.curves import heights
from tresnet_lite.findings.landscape import WAY, landscape
from tresnet_lite.findings.tables import PAPER_SIDE
from tresnet_lite.paper import NAMES, paper_value
from tresnet_lite.paper.published import accuracies, benchmarks, component_benchmarks

TOP1_SOURCE = "published (timm's results-imagenet.csv)"
Speeds = Mapping[tuple[str, int], float]  # by network and resolution


def published(
    check: Mapping[str, object], analogue: Mapping[str, str] | None = None
) -> Evidence | None:
    """What others' GPUs say of a claim with this check; None where nobody timed the networks.

    Args:
        analogue: for a refinement of our own networks, timm's `model` and `base` that differ in it.
    """
    if of_check := _OF_CHECK.get(str(check["name"])):
        return of_check(**arguments(check))
    ratios = asked(check)
    if analogue:
        model, base = (Network(analogue[side]) for side in ("model", "base"))
        ratios = [replace(ratio, model=model, base=base) for ratio in ratios]
    held, values = on_lines(ratios)
    names = dict.fromkeys(n.known_as for r in ratios for n in (r.model, r.base))
    figures = f"{min(values):.2f}–{max(values):.2f}×" if values else ""
    return _evidence(held, figures, ", ".join(names))


def on_lines(ratios: Sequence[Asked]) -> tuple[dict[str, bool], list[float]]:
    """Whether all of the ratios hold, by line that has the networks, and the ratios themselves."""
    held, values = {}, []
    for line, speeds in _lines(ratios[0].phase) if ratios else ():
        own = [_speed(r.model, speeds) / _speed(r.base, speeds) for r in ratios]
        if all(value > 0 for value in own):
            pairs = zip(ratios, own, strict=True)
            held[line] = all(r.low <= value <= r.high for r, value in pairs)
            values += own
    return held, values


def _speed(network: Network, speeds: Speeds) -> float:
    """A network's speed; NaN where it is not among them, or is one that only a chapter builds."""
    key = (network.known_as, network.side)
    return float("nan") if network.comparison else speeds.get(key, float("nan"))


def _evidence(held: Mapping[str, bool], figures: str, networks: str) -> Evidence | None:
    if not held:
        return None
    holding, lines = sum(held.values()), len(held)
    word = HOLDS if holding == lines else DEPENDS if holding else FAILS
    source = f"published (timm's {networks})"
    if word == DEPENDS:
        failing = [line for line, holds in held.items() if not holds]
        source += f"; not on {shortened(failing)}"
    return Evidence(word, f"{holding} of {lines} lines, {figures}", source)


@cache
def _lines(phase: str) -> list[tuple[str, Speeds]]:
    """The lines of others' GPUs in a phase: name, and images per second."""
    rows = pd.concat([benchmarks(), component_benchmarks()])
    lines = []
    for way, part in _on_gpus(rows[rows["phase"] == phase]).groupby(WAY, sort=False):
        keys = zip(part["model"], part["resolution"], strict=True)
        lines.append((_name(way), dict(zip(keys, part["images_per_second"], strict=True))))
    return lines


def _on_gpus(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[~rows["device"].str.startswith("Core ")]


def _name(way: Iterable[str]) -> str:
    device, torch, _, dtype, layout, mode = way
    return f"{device}, torch {torch}, {dtype}, {layout.replace('_', ' ')}, {mode}"


def _curve(*, number: int) -> Evidence | None:
    """On how many lines do all TResNets of a figure lie above the EfficientNets' curve?"""
    points = landscape([])
    of_phase = points["phase"] == ONE_PHASE[f"figure{number}"]
    points = _on_gpus(points[of_phase & points["source"].str.startswith("timm")])
    held, gaps = {}, []
    for way, lines in points.groupby(WAY, sort=False):
        if (lines["family"] == "EfficientNet").sum() == len(EFFICIENTNETS):
            above = heights(lines)["above"]
            held[_name(way)] = bool((above > 0).all())
            gaps += above.dropna().tolist()
    figures = f"{min(gaps):+.1f} to {max(gaps):+.1f} points" if gaps else ""
    return _evidence(held, figures, "networks of the figure")


def _rank(*, table: int, column: str, by: str, weaker: float) -> Evidence | None:
    """On how many lines multiply-accumulates tell the order of Table 1's networks less well."""
    if (table, by) != (1, "flops_g"):
        return None
    macs = network_sizes().set_index(["model", "resolution"])["macs"]
    held, found = {}, []
    for line, speeds in _lines(column.removesuffix("_img_s")):
        of_line = pd.Series(speeds).reindex(macs.index)
        if of_line.notna().all():
            found.append(rank_correlation(macs, of_line))
            held[line] = found[-1] > weaker
    figures = f"{min(found):.2f} to {max(found):.2f}" if found else ""
    return _evidence(held, figures, "networks of Table 1")


def _accuracy(
    *, model: str, table: int, tolerance: float, resolution: int = PAPER_SIDE
) -> Evidence | None:
    """Do the weights reach Table 3's top-1 in timm's evaluation? At 448 px timm crops the image."""
    if resolution != PAPER_SIDE:
        return None
    ours, printed = _top1(model, PAPER_SIDE), paper_value(3, "top1", model=NAMES[model])
    figures = f"{ours:.2f} % of {printed:.1f} %"
    word = HOLDS if abs(ours - printed) <= tolerance else FAILS
    return Evidence(word, figures, TOP1_SOURCE)


def _gain(*, model: str, sizes: Sequence[int]) -> Evidence:
    """Are the weights for the larger size more accurate, both sizes cropped?"""
    small, large = (_top1(model, side) for side in sizes)
    figures = f"{large - small:+.2f} points, cropped"
    return Evidence(HOLDS if large > small else FAILS, figures, TOP1_SOURCE)


def _top1(model: str, side: int) -> float:
    rows = accuracies()
    (top1,) = rows[(rows["model"] == model) & (rows["resolution"] == side)]["top1"]
    return float(top1)


_OF_CHECK: dict[str, Callable[..., Evidence | None]] = {
    "above_curve": _curve,
    "printed_rank": _rank,
    "published_accuracy": _accuracy,
    "published_gain": _gain,
}

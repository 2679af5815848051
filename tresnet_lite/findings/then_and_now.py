"""Then and now: the paper's V100, newer devices and our records, as ratios to ResNet50."""

from __future__ import annotations

import pandas as pd

from tresnet_lite.findings.curves import heights
from tresnet_lite.findings.landscape import WAY, with_timms_accuracies
from tresnet_lite.findings.tables import PAPER_SIDE

RATIO_COLUMNS = {  # column → network, resolution: what the table sets against ResNet50
    "m": ("TResNet-M", PAPER_SIDE),
    "l": ("TResNet-L", PAPER_SIDE),
    "xl": ("TResNet-XL", PAPER_SIDE),
    "b1": ("EfficientNet-B1", 240),
}
USUAL = ("float16", "channels first", "eager")  # the paper's, which a way leaves unsaid


def _ways(points: pd.DataFrame, phase: str) -> list[tuple[dict[str, str], pd.DataFrame]]:
    """The ways of running that a phase has points of: what tables print of each, and its points.

    The paper's comes first and what was measured here last.
    """
    ways = []
    for _, part in points[points["phase"] == phase].groupby(WAY, sort=False):
        point = part.iloc[0].to_dict()
        where = point["device"] + (f", torch {point['torch']}" if point["torch"] else "")
        layout = point["memory_format"].replace("_", " ")
        kind = point["source"]
        if point["kind"] == "quoted":
            kind = f"quoted ({kind.partition(',')[0]})"
        how = [point["dtype"], layout, point["compile"]]
        way = ", ".join([where, *(word for word in how if word not in USUAL)])
        text = {"where": where, "ran": ", ".join(how), "way": way, "kind": kind}
        ways.append((text, part))
    return sorted(ways, key=_place)


def _place(way: tuple[dict[str, str], pd.DataFrame]) -> tuple:
    """A key to sort by: the paper's, then timm's, then measured; the texts after that."""
    text, _ = way
    order = [text["kind"].startswith(word) for word in ("measured", "quoted (timm", "quoted (the")]
    return (order, *text.values())


def ratios_to_resnet50(points: pd.DataFrame, phase: str) -> pd.DataFrame:
    """Speeds as ratios to ResNet50, a line for each way of running.

    Columns: where, ran, way (both in short: what is not `USUAL`), kind, compile and those of
    `RATIO_COLUMNS`.

    Args:
        points: as `landscape` gives them.
    """
    rows = []
    for text, part in _ways(points, phase):
        speeds = part.set_index(["network", "resolution"])["ratio"]
        numbers = {column: speeds.get(key, float("nan")) for column, key in RATIO_COLUMNS.items()}
        rows.append({**text, "compile": part["compile"].iloc[0], **numbers})
    return pd.DataFrame(rows).dropna(subset="m").reset_index(drop=True)


def curves(points: pd.DataFrame, phase: str) -> pd.DataFrame:
    """Where TResNets lie to the EfficientNets' curve, for ways of running that have all of these.

    Columns: where, ran, way, kind, lie_above (how many of how many, by the points' accuracies),
    lie_above_timm (by timm's for all), lowest (points of top-1), which, b5 (speed of TResNet-XL at
    448 px over EfficientNet-B5's).
    """
    rows = []
    for text, part in _ways(points, phase):
        if (part["family"] == "EfficientNet").sum() < 8:
            continue
        ours = heights(part)
        by_timm = heights(with_timms_accuracies(part))
        lowest = ours.sort_values("above").iloc[0]
        speeds = part.set_index(["network", "resolution"])["speed"]
        b5 = speeds.get(("TResNet-XL", 448), float("nan")) / speeds[("EfficientNet-B5", 456)]
        count, timms = (f"{(h['above'] > 0).sum()} of {len(h)}" for h in (ours, by_timm))
        name = f"{lowest.network} at {lowest.resolution} px"
        text = {**text, "lie_above": count, "lie_above_timm": timms}
        rows.append({**text, "lowest": lowest.above, "which": name, "b5": b5})
    return pd.DataFrame(rows)

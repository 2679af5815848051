"""Then and now: the paper's V100, newer devices and our records, as ratios to ResNet50."""

from __future__ import annotations

import pandas as pd

from tresnet_lite.findings.curves import heights
from tresnet_lite.findings.landscape import WAY
from tresnet_lite.findings.tables import PAPER_SIDE

SHOWN = {  # column → network, resolution: what the table sets against ResNet50
    "m": ("TResNet-M", PAPER_SIDE),
    "l": ("TResNet-L", PAPER_SIDE),
    "xl": ("TResNet-XL", PAPER_SIDE),
    "b1": ("EfficientNet-B1", 240),
}


USUAL = ("float16", "channels first")  # the paper's, so the figure leaves them out


def _ways(points: pd.DataFrame, phase: str) -> list[tuple[dict[str, str], pd.DataFrame]]:
    """The ways of running that a phase has points of, each with what the tables print of it, and
    its points.

    The paper's comes first and what was measured here last.
    """
    found = []
    for way, part in points[points["phase"] == phase].groupby(WAY, sort=False):
        named = dict(zip(WAY, way, strict=True))
        where = named["device"] + (f", torch {named['torch']}" if named["torch"] else "")
        ran = ", ".join(
            (named["dtype"], named["memory_format"].replace("_", " "), named["compile"])
        )
        source = part["source"].iloc[0].partition(",")[0]
        kind = f"quoted ({source})" if part["kind"].iloc[0] == "quoted" else part["source"].iloc[0]
        found.append(({"where": where, "ran": ran, "kind": kind}, part))
    order = ("quoted (the", "quoted (timm", "measured")
    return sorted(
        found,
        key=lambda way: (
            [way[0]["kind"].startswith(word) for word in order[::-1]],
            *way[0].values(),
        ),
    )


def ratios(points: pd.DataFrame, phase: str) -> pd.DataFrame:
    """Speeds as ratios to ResNet50, a line for each way of running: where, ran, kind, compile and
    `SHOWN`'s columns.

    Args:
        points: as `landscape` gives them.
    """

    rows = []
    for told, part in _ways(points, phase):
        keyed = part.set_index(["network", "resolution"])["ratio"]
        numbers = {column: keyed.get(key, float("nan")) for column, key in SHOWN.items()}
        rows.append(told | {"compile": part["compile"].iloc[0]} | numbers)
    return pd.DataFrame(rows).dropna(subset="m").reset_index(drop=True)


def curves(points: pd.DataFrame, phase: str) -> pd.DataFrame:
    """Where TResNets lie to the EfficientNets' curve, for ways of running that have all
    EfficientNets.

    Columns: where, ran, kind, lie_above (how many of how many), lowest (points of top-1),
    which, b5 (speed of TResNet-XL at 448 px over EfficientNet-B5's).
    """

    rows = []
    for told, part in _ways(points, phase):
        if (part["family"] == "EfficientNet").sum() < 8:
            continue
        ours = heights(part).sort_values("above")
        lowest = ours.iloc[0]
        keyed = part.set_index(["network", "resolution"])["speed"]
        b5 = keyed.get(("TResNet-XL", 448), float("nan")) / keyed[("EfficientNet-B5", 456)]
        counted = f"{(ours['above'] > 0).sum()} of {len(ours)}"
        name = f"{lowest.network} at {lowest.resolution} px"
        rows.append(told | {"lie_above": counted, "lowest": lowest.above, "which": name, "b5": b5})
    return pd.DataFrame(rows)

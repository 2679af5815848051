"""Then and now: the paper's V100, what others published for newer devices, and our records, as
ratios to ResNet50.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from tresnet_lite.curves import heights
from tresnet_lite.landscape import WAY
from tresnet_lite.plots import BLUE, INK, ORANGE, SMALL, VERMILLION, WIDTH, drawing
from tresnet_lite.tables import PAPER_SIDE

if TYPE_CHECKING:
    import pandas as pd

SHOWN = {  # column → network, resolution: what the table sets against ResNet50
    "m": ("TResNet-M", PAPER_SIDE),
    "l": ("TResNet-L", PAPER_SIDE),
    "xl": ("TResNet-XL", PAPER_SIDE),
    "b1": ("EfficientNet-B1", 240),
}
RATIOS = {
    "where|where": "",
    "ran|ran": "",
    "TResNet-M|m": ".2f",
    "TResNet-L|l": ".2f",
    "TResNet-XL|xl": ".2f",
    "EfficientNet-B1|b1": ".2f",
    "kind|kind": "",
}
CURVE = {
    "where|where": "",
    "ran|ran": "",
    "above the curve|told": "",
    "lowest, points|lowest": "+.2f",
    "which|which": "",
    "XL at 448 px to B5|b5": ".2f",
    "kind|kind": "",
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
    import pandas as pd

    rows = []
    for told, part in _ways(points, phase):
        keyed = part.set_index(["network", "resolution"])["ratio"]
        numbers = {column: keyed.get(key, float("nan")) for column, key in SHOWN.items()}
        rows.append(told | {"compile": part["compile"].iloc[0]} | numbers)
    return pd.DataFrame(rows).dropna(subset="m").reset_index(drop=True)


def curves(points: pd.DataFrame, phase: str) -> pd.DataFrame:
    """Where TResNets lie to the EfficientNets' curve, for ways of running that have all
    EfficientNets.

    Columns: where, ran, kind, told (how many of how many lie above), lowest (points of top-1),
    which, b5 (speed of TResNet-XL at 448 px over EfficientNet-B5's).
    """
    import pandas as pd

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
        rows.append(told | {"told": counted, "lowest": lowest.above, "which": name, "b5": b5})
    return pd.DataFrame(rows)


@drawing
def since(
    table: pd.DataFrame, *, column: str = "m", title: str = "TResNet-M"
) -> tuple[Figure, str]:
    """One network's speed to ResNet50's, a line for each way of running that `ratios` gives, the
    paper's as a bar.
    """
    figure = Figure(figsize=(WIDTH, 0.42 * len(table) + 1.3), layout="constrained")
    axes = figure.subplots()
    axes.axvline(1, color=INK, linewidth=0.8, alpha=0.5)
    for value in table[table["kind"].str.startswith("quoted (the paper")][column]:
        axes.axvline(value, color=VERMILLION, linewidth=2, alpha=0.7, label="the paper")
    looks = {"eager": (BLUE, "o"), "compiled": (ORANGE, "s")}
    for mode, (colour, marker) in looks.items():
        part = table[table["compile"] == mode]
        if len(part):
            axes.plot(
                part[column], part.index + 0.15, marker, color=colour, label=mode, markersize=7
            )
    for row in table.itertuples():
        axes.text(0.01, row.Index - 0.22, _named(row), fontsize=SMALL, va="center")
    axes.set(
        ylim=(len(table) - 0.4, -0.6), xlim=(0, 1.25), yticks=[], title=f"{title}, ResNet50 = 1"
    )
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("speed (right is faster)", fontsize=SMALL + 1)
    figure.legend(
        *axes.get_legend_handles_labels(), loc="outside upper center", ncols=3, handletextpad=0.3
    )
    told = "; ".join(
        f"{row.where}, {row.ran}: {getattr(row, column):.2f}" for row in table.itertuples()
    )
    return figure, f"Speed of {title}, ResNet50 = 1. {told}."


def _named(row: object) -> str:
    """Where, and how it ran where that is not the paper's way; colours tell whether it was
    compiled.
    """
    how = [part for part in row.ran.split(", ")[:-1] if part not in USUAL]
    return ", ".join([row.where, *how])

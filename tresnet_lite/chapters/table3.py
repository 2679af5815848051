"""Table 3: the family's speed and largest batch; what of the batch is Inplace-ABN, and what the
architecture.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from tresnet_lite.bench import Record, latest
from tresnet_lite.bench.memory import kept_per_image, memory_settings
from tresnet_lite.claims import label
from tresnet_lite.paper import paper_table
from tresnet_lite.plots import BLUE, GREEN, INK, ORANGE, SKY, SMALL, VERMILLION, WIDTH, drawing
from tresnet_lite.tables import BATCH, COUNTED, MODELS, Run

if TYPE_CHECKING:
    import pandas as pd

GB, MB = 1e9, 1e6
HALF = "bfloat16"  # a half precision, which takes the bytes that the paper's float16 takes
SETTINGS = {  # norm and memory, as the counting has them → what a reader calls it
    ("bn", "paper"): "BatchNorm",
    ("iabn", "paper"): "Inplace-ABN, as published",
    ("iabn", "lean"): "lean (our default)",
    ("iabn", "recompute"): "recompute",
    ("iabn", "min"): "min",
}
STEPS = {"architecture": ORANGE, "Inplace-ABN": GREEN, "lean": SKY}

# Columns for `notebook.table`.
IMPLIED = {
    "network|network": "",
    "paper's batch|batch": "d",
    "kept an image, MB|kept": ".1f",
    "together, GB|together": ".2f",
}
FACTORS = {
    "network|network": "",
    "paper's batch, ratio|paper": ".3f",
    "architecture|architecture": ".3f",
    "× Inplace-ABN|inplace": ".3f",
    "= counted|counted": ".3f",
    "lean|lean": ".3f",
}
BY_SETTING = {
    "TResNet-M with|setting": "",
    "largest batch|batch": ",.0f",
    "ratio to ResNet50|ratio": ".3f",
    "ratio counted|counted": ".3f",
    "training, img/s|speed": ",.2f",
    "ratio to ResNet50 |speed_ratio": ".3f",
}

_kept = partial(kept_per_image, dtype=HALF)


def factors() -> pd.DataFrame:
    """What training keeps an image at 224 px in half precision, ResNet50's over each network's, and
    its two factors.

    Columns: network; batch (the paper's); kept (MB, Inplace-ABN as published); together (their
    product, GB); then ratios to ResNet50: paper (of the batches), architecture (on BatchNorm),
    inplace (what Inplace-ABN adds), counted (architecture × inplace), lean (counted with our
    default).
    """
    import pandas as pd

    printed = paper_table(3).set_index("model")["max_batch"]
    base = _bytes("resnet50")
    rows = []
    for network, batch in printed.items():
        model = MODELS[network]
        ours = {} if model == "resnet50" else {"norm": "iabn", "memory": "paper"}
        plain, published = (
            _bytes(model, **(ours and {"norm": "bn", "memory": "paper"})),
            _bytes(model, **ours),
        )
        lean = _bytes(model, **(ours and {"norm": "iabn", "memory": "lean"}))
        row = {
            "network": network,
            "batch": batch,
            "kept": published / MB,
            "together": batch * published / GB,
        }
        row |= {
            "paper": batch / printed["ResNet50"],
            "architecture": base / plain,
            "inplace": plain / published,
        }
        rows.append(row | {"counted": base / published, "lean": base / lean})
    return pd.DataFrame(rows)


def _bytes(model: str, **options: str) -> float:
    return sum(_kept(model, **options).values())


def by_setting(records: Iterable[Record]) -> pd.DataFrame:
    """TResNet-M's largest batch and training speed under each norm and memory setting, beside what
    counting expects.

    Columns: run, setting, batch, ratio (to ResNet50's largest batch of the same run), counted,
    speed, speed_ratio.
    """
    import pandas as pd

    found: dict[Run, dict[tuple[str, str | None], dict[str, Record]]] = {}
    for r in latest(records):
        c = r.conditions
        if (r.suite, r.phase) not in (("memory", "training"), ("table3", "training")):
            continue
        if r.metric not in ("largest_batch", "throughput") or r.model not in (
            "resnet50",
            "tresnet_m",
        ):
            continue
        network = (
            ("resnet50", None)
            if r.model == "resnet50"
            else ("bn" if c.norm == "bn" else "iabn", c.memory)
        )
        # A budget of memory limits the batch; the speeds beside it may have been timed at a fixed
        # batch.
        run = replace(Run.of(r), memory_budget=None)
        found.setdefault(run, {}).setdefault(network, {})[r.metric] = r
    rows = [row for run, networks in found.items() for row in _settings_of(run, networks)]
    columns = ["run", "setting", "batch", "ratio", "counted", "speed", "speed_ratio"]
    return pd.DataFrame(rows).reindex(columns=columns)


def _settings_of(
    run: Run, networks: dict[tuple[str, str | None], dict[str, Record]]
) -> list[dict[str, object]]:
    base = networks.get(("resnet50", None), {})
    counted = _counted(run.dtype)
    if "largest_batch" not in base:
        return []
    found = base["largest_batch"]
    source = f"{label(found)}; {Run.of(found)}" + (
        "; largest batches counted" if found.case == COUNTED else ""
    )
    rows = []
    for key, name in SETTINGS.items():
        row = {"run": source, "setting": name, "counted": counted[key]}
        for metric, column, ratio in (
            ("largest_batch", "batch", "ratio"),
            ("throughput", "speed", "speed_ratio"),
        ):
            record = networks.get(key, {}).get(metric)
            if record and metric in base:
                row |= {
                    column: record.value.median,
                    ratio: record.value.median / base[metric].value.median,
                }
        rows.append(row)
    return rows


def _counted(dtype: str) -> dict[tuple[str, str], float]:
    """ResNet50's bytes an image over TResNet-M's, by norm and memory setting, in a run's
    precision.
    """
    first, *others = memory_settings()
    width = "float32" if dtype == "float32" else HALF
    return {(row.norm, row.memory): getattr(first, width) / getattr(row, width) for row in others}


@drawing
def batches(counted: pd.DataFrame, measured: pd.DataFrame) -> tuple[Figure, str]:
    """Largest batches as ratios to ResNet50's: what counting makes of each factor, the paper's, and
    a run's own.

    Args:
        counted: as `factors` gives it.
        measured: the lines of one run of `tables.table3`.
    """
    rows = counted[counted["network"] != "ResNet50"].reset_index(drop=True)
    ours = measured[measured["phase"] == BATCH].set_index("network")["ratio"]
    figure = Figure(figsize=(WIDTH, 0.95 * len(rows) + 1.5), layout="constrained")
    axes = figure.subplots()
    axes.axvline(1, color=INK, linewidth=0.8, alpha=0.5)
    hollow = {
        "color": VERMILLION,
        "fillstyle": "none",
        "markeredgewidth": 2,
        "markersize": 8,
        "linestyle": "none",
    }
    for row in rows.itertuples():
        ends = (1.0, row.architecture, row.counted, row.lean)
        for place, (start, end), colour in zip(
            (-0.25, 0, 0.25), pairwise(ends), STEPS.values(), strict=True
        ):
            axes.barh(
                row.Index + place, end - start, left=start, height=0.22, color=colour, alpha=0.6
            )
        axes.plot(row.paper, row.Index, "D", **hollow)
        if ours.get(row.network, 0) > 0:
            axes.plot(ours[row.network], row.Index + 0.25, "o", color=BLUE, markersize=7)
    names = list(rows["network"])
    axes.set(yticks=range(len(names)), yticklabels=names, ylim=(len(names) - 0.5, -0.5))
    axes.set_xlabel("largest batch, ResNet50 = 1", fontsize=SMALL + 1)
    axes.tick_params(left=False)
    axes.spines["left"].set_visible(False)
    handles = [Patch(color=colour, alpha=0.6, label=name) for name, colour in STEPS.items()]
    handles.append(Line2D([], [], marker="D", label="paper", **hollow))
    handles.append(
        Line2D([], [], marker="o", color=BLUE, linestyle="none", label="this run (lean)")
    )
    figure.legend(
        handles=handles, loc="outside upper left", ncols=2, handletextpad=0.4, columnspacing=1.2
    )
    told = [
        f"{r.network}: paper {r.paper:.2f}, architecture {r.architecture:.2f}, with Inplace-ABN"
        f" {r.counted:.2f}, lean {r.lean:.2f}"
        + (f"; this run {ours[r.network]:.2f}" if ours.get(r.network, 0) > 0 else "")
        for r in rows.itertuples()
    ]
    return figure, f"Largest batches over ResNet50's. {'; '.join(told)}."

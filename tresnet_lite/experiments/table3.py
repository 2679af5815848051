"""Table 3 counted: what training keeps, and what of the largest batch each factor explains.

The ResNet50 that is counted is ours (`create_model`); the one that is measured is timm's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import pandas as pd

from tresnet_lite.counting.kept import kept_per_image, memory_settings
from tresnet_lite.findings.tables import Run
from tresnet_lite.paper import MODELS, paper_table
from tresnet_lite.records import Record, latest

HALF = "bfloat16"  # a half precision, which takes the bytes that the paper's float16 takes
SETTINGS = {  # norm and memory, as the counting has them → what a reader calls it
    ("bn", "paper"): "BatchNorm",
    ("iabn", "paper"): "Inplace-ABN, as published",
    ("iabn", "lean"): "lean (our default)",
    ("iabn", "recompute"): "recompute",
    ("iabn", "min"): "min",
}
BASE_SETTING = ("resnet50", "")  # in place of norm and memory
METRICS = {  # of a record → the columns of its value and of its ratio to ResNet50's
    "largest_batch": ("largest_batch", "batch_ratio"),
    "throughput": ("speed", "speed_ratio"),
}


def batch_factors() -> pd.DataFrame:
    """What training keeps per image of 224 px in half precision, and the factors behind it.

    Columns: network; max_batch (the paper's); kept (MB, Inplace-ABN as published); together (their
    product, GB); then ratios to ResNet50: paper_ratio (of the batches), architecture (on
    BatchNorm), inplace (what Inplace-ABN adds), counted (architecture × inplace), lean_ratio
    (counted with our default).
    """
    printed = paper_table(3).set_index("model")["max_batch"]
    base = _kept_mb("resnet50")
    rows = []
    for network, batch in printed.items():
        plain = published = lean = base
        if network != "ResNet50":
            plain = _kept_mb(MODELS[network], norm="bn", memory="paper")
            published = _kept_mb(MODELS[network], norm="iabn", memory="paper")
            lean = _kept_mb(MODELS[network], norm="iabn", memory="lean")
        row = {"network": network, "max_batch": batch, "kept": published}
        row |= {"together": batch * published / 1e3, "paper_ratio": batch / printed["ResNet50"]}
        row |= {"architecture": base / plain, "inplace": plain / published}
        rows.append({**row, "counted": base / published, "lean_ratio": base / lean})
    return pd.DataFrame(rows)


def _kept_mb(model: str, **options: str) -> float:
    return sum(kept_per_image(model, HALF, **options).values()) / 1e6


def by_setting(records: Iterable[Record]) -> pd.DataFrame:
    """TResNet-M's largest batch and training speed by norm and memory setting, beside the counted.

    Columns: run, setting, largest_batch, batch_ratio (to ResNet50's of the same run), counted,
    speed, speed_ratio.
    """
    runs: dict[Run, dict[tuple[str, str], dict[str, Record]]] = {}
    for r in latest(records):
        known = r.model in ("resnet50", "tresnet_m") and r.metric in METRICS
        if known and r.suite in ("memory", "table3") and r.phase == "training":
            # A budget of memory limits the batch; the speeds beside it may have been timed at a
            # fixed batch.
            run = replace(Run.of(r), memory_budget=None)
            runs.setdefault(run, {}).setdefault(_setting(r), {})[r.metric] = r
    rows = [row for settings in runs.values() for row in _settings_of(settings)]
    columns = ["run", "setting", "largest_batch", "batch_ratio", "counted", "speed", "speed_ratio"]
    return pd.DataFrame(rows, columns=columns)


def _setting(record: Record) -> tuple[str, str]:
    if record.model == "resnet50":
        return BASE_SETTING
    norm, memory = record.conditions.norm, record.conditions.memory
    return ("bn" if norm == "bn" else "iabn", memory or "")


def _settings_of(
    settings: Mapping[tuple[str, str], Mapping[str, Record]],
) -> list[dict[str, object]]:
    """The lines of one run: setting → metric → record."""
    base = settings.get(BASE_SETTING, {})
    if "largest_batch" not in base:
        return []
    largest = base["largest_batch"]
    run = f"{largest.label}; {Run.of(largest)}"
    if largest.counted:
        run += "; largest batches counted"
    counted = _counted(largest.conditions.dtype)
    rows = []
    for key, name in SETTINGS.items():
        row: dict[str, object] = {"run": run, "setting": name, "counted": counted[key]}
        for metric, record in settings.get(key, {}).items():
            if metric in base:
                value, ratio = METRICS[metric]
                row[value] = record.value.median
                row[ratio] = record.value.median / base[metric].value.median
        rows.append(row)
    return rows


def _counted(dtype: str) -> dict[tuple[str, str], float]:
    """What ResNet50 keeps over what TResNet-M keeps, by norm and memory, in a run's precision."""
    width = "float32" if dtype == "float32" else HALF
    first, *others = memory_settings()
    return {(row.norm, row.memory): getattr(first, width) / getattr(row, width) for row in others}

"""Table 3 counted: what training keeps, and what of the largest batch each factor explains."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial

import pandas as pd

from tresnet_lite.counting.kept import kept_per_image, memory_settings
from tresnet_lite.findings.tables import COUNTED, MODELS, Run
from tresnet_lite.paper import paper_table
from tresnet_lite.records import Record, latest

GB, MB = 1e9, 1e6


HALF = "bfloat16"  # a half precision, which takes the bytes that the paper's float16 takes


SETTINGS = {  # norm and memory, as the counting has them → what a reader calls it
    ("bn", "paper"): "BatchNorm",
    ("iabn", "paper"): "Inplace-ABN, as published",
    ("iabn", "lean"): "lean (our default)",
    ("iabn", "recompute"): "recompute",
    ("iabn", "min"): "min",
}


_kept = partial(kept_per_image, dtype=HALF)


def factors() -> pd.DataFrame:
    """What training keeps an image at 224 px in half precision, ResNet50's over each network's, and
    its two factors.

    Columns: network; max_batch (the paper's); kept (MB, Inplace-ABN as published); together (their
    product, GB); then ratios to ResNet50: paper_ratio (of the batches), architecture (on
    BatchNorm), inplace (what Inplace-ABN adds), counted (architecture × inplace), lean_ratio
    (counted with our default).
    """

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
            "max_batch": batch,
            "kept": published / MB,
            "together": batch * published / GB,
        }
        row |= {
            "paper_ratio": batch / printed["ResNet50"],
            "architecture": base / plain,
            "inplace": plain / published,
        }
        rows.append(row | {"counted": base / published, "lean_ratio": base / lean})
    return pd.DataFrame(rows)


def _bytes(model: str, **options: str) -> float:
    return sum(_kept(model, **options).values())


def by_setting(records: Iterable[Record]) -> pd.DataFrame:
    """TResNet-M's largest batch and training speed under each norm and memory setting, beside what
    counting expects.

    Columns: run, setting, largest_batch, batch_ratio (to ResNet50's of the same run), counted,
    speed, speed_ratio.
    """

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
    columns = ["run", "setting", "largest_batch", "batch_ratio", "counted", "speed", "speed_ratio"]
    return pd.DataFrame(rows).reindex(columns=columns)


def _settings_of(
    run: Run, networks: dict[tuple[str, str | None], dict[str, Record]]
) -> list[dict[str, object]]:
    base = networks.get(("resnet50", None), {})
    counted = _counted(run.dtype)
    if "largest_batch" not in base:
        return []
    found = base["largest_batch"]
    source = f"{found.label}; {Run.of(found)}" + (
        "; largest batches counted" if found.case == COUNTED else ""
    )
    rows = []
    for key, name in SETTINGS.items():
        row = {"run": source, "setting": name, "counted": counted[key]}
        for metric, column, ratio in (
            ("largest_batch", "largest_batch", "batch_ratio"),
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

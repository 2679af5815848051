"""Every known point of accuracy against speed: the paper's, what others published, our records.

A point is one network at one resolution, in one phase and one way of running on one device. Its
columns:

    kind, source                    "quoted" or "measured"; and where the speed comes from
    device, torch                   torch is "" where the source does not say
    phase, dtype, memory_format, compile    as in a record, `compile` being "eager" or "compiled"
    network, family, resolution     named as the paper prints it
    speed, q1, q3, batch            images per second; quoted speeds have no spread: q1, q3 are NaN
    ratio                           to ResNet50 at 224 px, run alike; NaN where that was not
    top1, top1_source               always quoted: no network is trained here
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

import pandas as pd

from tresnet_lite.bench.comparisons import EFFICIENTNETS
from tresnet_lite.findings.curves import family
from tresnet_lite.findings.tables import PAPER_SIDE
from tresnet_lite.paper import NETWORKS, paper_table
from tresnet_lite.paper.published import accuracies, benchmarks
from tresnet_lite.records import Record, latest
from tresnet_lite.records.records import PHASES

NETWORK_NAMES = NETWORKS | {model: f"EfficientNet-{model[-2:].upper()}" for model in EFFICIENTNETS}
NETWORK_CASES = ("networks", "ways of running", "precisions")  # whole networks as they come
PAPER_SOURCE = "the paper"
WAY = ["device", "torch", "phase", "dtype", "memory_format", "compile"]
LANDSCAPE_COLUMNS = ["kind", "source", *WAY, "network", "family", "resolution"]
LANDSCAPE_COLUMNS += ["speed", "q1", "q3", "batch", "ratio", "top1", "top1_source"]


@cache
def top1_by_network() -> dict[tuple[str, int], tuple[float, str]]:
    """(network, resolution) → top-1 in per cent and its source, of all networks with a speed here.

    The EfficientNets' are those of `data/published`, B1's too, whose figure in Table 1 is of other
    weights.
    """
    top1: dict[tuple[str, int], tuple[float, str]] = {}
    for row in paper_table(1).itertuples():
        top1[row.model, PAPER_SIDE] = (row.top1, f"{PAPER_SOURCE}, Table 1")
    for row in paper_table(5).itertuples():
        top1[row.model, row.resolution] = (row.top1, f"{PAPER_SOURCE}, Table 5")
    del top1[NETWORKS["efficientnet_b1"], PAPER_SIDE]
    for row in accuracies().itertuples():
        if row.model in EFFICIENTNETS:
            source = f"timm, tf_{row.model}.{row.weights}"
            top1[NETWORK_NAMES[row.model], row.resolution] = (row.top1, source)
    return top1


def with_timms_accuracies(points: pd.DataFrame) -> pd.DataFrame:
    """The points with timm's top-1 of the TResNets in place of the paper's: one evaluator for all.

    At 448 px timm crops the image's centre, where the authors squash the whole of it.
    """
    timms = {
        (NETWORK_NAMES[row.model], row.resolution): row.top1
        for row in accuracies().itertuples()
        if row.model in NETWORK_NAMES
    }
    keys = zip(points["network"], points["resolution"], points["top1"], strict=True)
    return points.assign(top1=[timms.get((name, side), top1) for name, side, top1 in keys])


def landscape(records: Iterable[Record]) -> pd.DataFrame:
    """All points, with the columns above: the paper's, then timm's, then those of the records."""
    rows = [*_printed(), *_published(), *_measured(records)]
    table = pd.DataFrame(rows).reindex(columns=LANDSCAPE_COLUMNS)
    base = table[(table["network"] == "ResNet50") & (table["resolution"] == PAPER_SIDE)]
    speeds = base.drop_duplicates(WAY).set_index(WAY)["speed"]
    ways = pd.MultiIndex.from_frame(table[WAY])
    return table.assign(ratio=table["speed"] / speeds.reindex(ways).to_numpy())


def _point(network: str, resolution: int, **fields: object) -> list[dict[str, object]]:
    """The point, if an accuracy is known for it: tiny images of a smoke run have none."""
    if (network, resolution) not in top1_by_network():
        return []
    top1, source = top1_by_network()[network, resolution]
    about = {"network": network, "family": family(network), "resolution": resolution}
    return [{**about, **fields, "top1": top1, "top1_source": source}]


def _printed() -> Iterable[dict[str, object]]:
    """The paper's V100. Of EfficientNet it prints B1 (Table 1) and B7 (Table 6, inference)."""
    way = {"kind": "quoted", "device": "Tesla V100", "torch": "", "dtype": "float16"}
    way |= {"memory_format": "channels_first", "compile": "eager"}
    speeds = [(1, row, phase) for row in paper_table(1).to_dict("records") for phase in PHASES]
    # Table 1 has the first two
    speeds += [(3, row, phase) for row in paper_table(3).to_dict("records")[2:] for phase in PHASES]
    for row in paper_table(6).drop_duplicates(["model", "resolution"]).to_dict("records"):
        if row["model"].startswith("EfficientNet"):
            speeds.append((6, row, "inference"))
    for number, row, phase in speeds:
        network, side = row["model"], row.get("resolution", PAPER_SIDE)
        if network == NETWORKS["efficientnet_b1"]:
            network, side = NETWORK_NAMES["efficientnet_b1"], EFFICIENTNETS["efficientnet_b1"]
        speed, source = float(row[f"{phase}_img_s"]), f"{PAPER_SOURCE}, Table {number}"
        yield from _point(network, side, **way, source=source, phase=phase, speed=speed)


def _published() -> Iterable[dict[str, object]]:
    for row in benchmarks().to_dict("records"):
        way = {key: row[key] for key in WAY}
        numbers = {"speed": row["images_per_second"], "batch": row["batch_size"]}
        source = {"kind": "quoted", "source": f"timm, {row['source_file']}"}
        network = NETWORK_NAMES[row["model"]]
        yield from _point(network, row["resolution"], **source, **way, **numbers)


def _measured(records: Iterable[Record]) -> Iterable[dict[str, object]]:
    """The records of whole networks, each once; of several batches the largest counts."""
    largest: dict[tuple, Record] = {}
    for r in latest(records):
        c = r.conditions
        whole = r.case in NETWORK_CASES and r.model in NETWORK_NAMES and not c.memory_budget
        if r.metric == "throughput" and whole:
            ran = (c.resolution, c.dtype, c.memory_format, c.compile)
            key = (r.provenance.device, r.phase, r.model, *ran)
            if key not in largest or c.batch >= largest[key].conditions.batch:
                largest[key] = r
    for r in largest.values():
        c, v = r.conditions, r.value
        way = {"device": r.provenance.device, "torch": r.provenance.torch.partition("+")[0]}
        way |= {"phase": r.phase, "dtype": c.dtype, "memory_format": c.memory_format}
        way["compile"] = "eager" if c.compile == "eager" else "compiled"
        numbers = {"speed": v.median, "q1": v.q1, "q3": v.q3, "batch": c.batch}
        source = {"kind": "measured", "source": r.label}
        yield from _point(NETWORK_NAMES[r.model], c.resolution, **source, **way, **numbers)

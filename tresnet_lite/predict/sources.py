"""Measured speeds with the loads of their networks: of records, and of timm's result files."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from functools import cache

import pandas as pd
import torch
from torch import nn

from tresnet_lite.checkout import DATA
from tresnet_lite.counting.networks import OURS, build
from tresnet_lite.counting.published_abn import with_published_passes
from tresnet_lite.paper.published import benchmark_conditions
from tresnet_lite.predict.fit import Speed
from tresnet_lite.predict.load import Load, load_of
from tresnet_lite.records import Record, latest

# Of one device, what must be alike in the speeds that constants are fitted to
WAY = ("dtype", "memory_format", "compile")
NORMS = {"bn": "bn", "native": "iabn", "mapillary": "published"}  # records' → as `counted_load`


class Untraceable(LookupError):
    """A network that cannot be built or counted; the message says why."""


def counted_load(network: str, side: int, phase: str, norm: str | None = None) -> Load:
    """The load of a network that `counting.networks.build` knows.

    Args:
        norm: of our networks: "iabn", "bn", or "published", the kernels of Inplace-ABN's authors;
            None for the network's own.

    Raises:
        Untraceable: with the reason.
    """
    return _load(network, side, phase, norm, False)


def timm_load(network: str, side: int, phase: str) -> Load:
    """The load of timm's network of that name, its TResNets on BatchNorm included.

    Raises:
        Untraceable: with the reason.
    """
    return _load(network, side, phase, None, True)


@cache
def _load(name: str, side: int, phase: str, norm: str | None, timms: bool) -> Load:
    try:
        with torch.device("meta"):
            network = _timm_network(name) if timms else _network(name, norm)
        return load_of(network, side, phase)
    except Exception as error:  # a network of timm may raise anything on images it does not take
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise Untraceable(f"{name} at {side} px, {phase}: {reason}") from error


def _network(name: str, norm: str | None) -> nn.Module:
    if norm == "published":
        return with_published_passes(build(name))
    return build(name, norm=norm if name in OURS else None)


def _timm_network(name: str) -> nn.Module:
    import timm

    if not timm.is_model(name):
        raise LookupError(f"timm {timm.__version__} has no model of that name")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a name that timm has changed since
        return timm.create_model(name)


def record_speeds(records: Iterable[Record]) -> list[Speed]:
    """The speeds of whole networks among records of one device, run eagerly in one way.

    A network that several suites show counts once. What `build` does not know, such as a part or a
    variation of a chapter, is left out.

    Raises:
        ValueError: no such speed, or records of several devices or ways of running.
    """
    return [_of_record(record) for record in network_records(records)]


def network_records(records: Iterable[Record]) -> list[Record]:
    """The records that `record_speeds` takes; it raises as that does."""
    eager = [r for r in latest(records) if r.metric == "throughput" and _is_network(r)]
    if not eager:
        raise ValueError("no speed of a whole network in these records: measure some networks")
    ways = {(r.provenance.device, *(getattr(r.conditions, name) for name in WAY)) for r in eager}
    if len(ways) > 1:
        several = "; ".join(", ".join(way) for way in sorted(ways))
        raise ValueError(f"constants belong to one device and way of running, not to {several}")
    return list({(r.model, r.phase, r.conditions): r for r in eager}.values())


def _is_network(record: Record) -> bool:
    c = record.conditions
    plain = c.compile == "eager" and c.width is None and c.memory is None
    return plain and record.part == "" and record.case in ("networks", "ladder")


def _of_record(record: Record) -> Speed:
    c = record.conditions
    load = counted_load(record.model, c.resolution, record.phase, NORMS.get(c.norm))
    return Speed(record.model, load, c.batch, record.value.median)


def published_speeds(*files: str) -> list[Speed]:
    """The speeds of some of timm's result files that `data/published` quotes.

    Raises:
        ValueError: a file of which nothing is quoted.
    """
    quoted = pd.read_csv(DATA / "published" / "timm_benchmarks.csv")
    speeds = []
    for file in files:
        rows = quoted[quoted["source_file"] == file]
        if rows.empty:
            raise ValueError(f"nothing of {file!r} is quoted in data/published")
        phase = benchmark_conditions(file)["phase"]
        for row in rows.to_dict("records"):
            load = timm_load(row["model"], row["resolution"], phase)
            batch, speed = row["batch_size"], row["images_per_second"]
            speeds.append(Speed(row["model"], load, batch, speed))
    return speeds

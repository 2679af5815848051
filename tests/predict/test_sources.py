"""Speeds of records and of published files, with their networks' loads."""

from dataclasses import replace

import pytest
from helpers import PROVENANCE

from tresnet_lite.checkout import DATA
from tresnet_lite.predict.constants import own_constants
from tresnet_lite.predict.sources import (
    Untraceable,
    counted_load,
    published_speeds,
    record_speeds,
    timm_load,
)
from tresnet_lite.records import Conditions, Record, Spread, load

H200 = DATA / "measured" / "nvidia-h200.jsonl"


def record(model: str, value: float = 100.0, **changes) -> Record:
    conditions = Conditions(batch=64, resolution=64, dtype="float16")
    what = ("table1", "networks", model, "inference", "throughput")
    made = Record(*what, Spread(value, value, value, 3), conditions, PROVENANCE)
    return replace(made, **changes)


def test_a_network_of_several_suites_counts_once():
    other = record("resnet18", suite="table3")
    speeds = record_speeds([record("resnet18"), other, record("resnet34", 70.0)])
    assert [(s.name, s.images_per_second) for s in speeds] == [("resnet18", 100), ("resnet34", 70)]
    assert speeds[0].batch == 64 and speeds[0].load.side == 64


def test_parts_and_variations_are_left_out():
    kept = record("resnet18")
    compiled = replace(kept.conditions, compile="default")
    others = [record("resnet34", conditions=compiled), record("conv7x7", case="alone")]
    others += [record("resnet34", metric="largest_batch"), record("resnet34", part="layer1")]
    assert [s.name for s in record_speeds([kept, *others])] == ["resnet18"]
    with pytest.raises(ValueError, match="no speed of a whole network in these records"):
        record_speeds(others)


def test_devices_and_ways_of_running_are_not_mixed():
    other = record("resnet34", provenance=replace(PROVENANCE, device="Another GPU"))
    with pytest.raises(ValueError, match="one device and way of running, not to Another GPU, fl"):
        record_speeds([record("resnet18"), other])
    layout = replace(record("resnet18").conditions, memory_format="channels_last")
    with pytest.raises(ValueError, match="Imaginary GPU, float16, channels_first, eager; Imag"):
        record_speeds([record("resnet18"), record("resnet34", conditions=layout)])


def test_the_committed_records_of_a_gpu_give_constants():
    """Most of an H200's speeds are set by short operations, and the fit finds that by itself."""
    constants = own_constants(load(H200))
    assert constants.device == "NVIDIA H200" and constants.speeds == 30
    assert "launch" in constants.fit.free and "slowdown" in constants.fit.free
    assert 5e-6 < constants.fit.rates.launch < 1e-4
    assert constants.rms < 0.15
    assert constants.way == "float16, channels first, eager"  # though the file has others too


def test_too_few_networks_give_no_constants():
    few = [record(model) for model in ("resnet18", "resnet34", "resnet26")]
    with pytest.raises(ValueError, match="speeds of 3 networks: at least 4 are needed"):
        own_constants(few)
    with pytest.raises(ValueError, match="records of inference are needed"):
        own_constants([replace(each, phase="training") for each in few])


def test_published_speeds_are_those_quoted():
    (speed, *_) = published_speeds("benchmark-infer-amp-nchw-pt291-cu128-4090.csv")
    quoted = (speed.name, speed.load.side, speed.load.phase, speed.images_per_second, speed.batch)
    assert quoted == ("mixnet_l", 224, "inference", 3827.44, 1024)
    with pytest.raises(ValueError, match="nothing of 'none.csv' is quoted in data/published"):
        published_speeds("none.csv")


def test_our_norms_move_more_bytes_than_the_published_kernels_and_timms_is_batch_norm():
    ours, bn, published = (
        counted_load("tresnet_m", 64, "inference", norm) for norm in ("iabn", "bn", "published")
    )
    assert published.moved.sum() < ours.moved.sum() and "published_abn" in published.names
    assert timm_load("tresnet_m", 64, "inference").macs.sum() == bn.macs.sum()
    assert "native_batch_norm" in bn.names and bn.has_batch_norm and published.has_batch_norm


def test_what_cannot_be_counted_says_why():
    with pytest.raises(Untraceable, match="no model 'nonsense': another version may have it"):
        counted_load("nonsense", 64, "inference")
    with pytest.raises(Untraceable, match="no_net at 64 px, training: timm .* has no model"):
        timm_load("no_net", 64, "training")
    with pytest.raises(Untraceable, match="vit_tiny_patch16_224 at 64 px, inference: Input height"):
        counted_load("vit_tiny_patch16_224", 64, "inference")

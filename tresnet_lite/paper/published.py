"""What others published about the paper's networks, read from `data/published`."""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

import pandas as pd

from tresnet_lite.checkout import DATA

FILE = re.compile(
    r"benchmark-(?P<phase>infer|train)-(?P<dtype>amp|amp_bf16|bf16|fp32)-(?P<memory_format>nchw|nhwc)"
    r"-pt(?P<torch>\d+)-(?:cu\d+|cpu)-(?P<device>[a-z0-9_]+?)(?P<compile>-dynamo)?\.csv"
)
PHASE_NAMES = {"infer": "inference", "train": "training"}
# as in a record
TIMM_DTYPES = {"amp": "float16", "amp_bf16": "bfloat16", "bf16": "pure bfloat16", "fp32": "float32"}
TIMM_LAYOUTS = {"nchw": "channels_first", "nhwc": "channels_last"}
DEVICES = {
    "rtx3090": "RTX 3090",
    "rtx4090": "RTX 4090",
    "4090": "RTX 4090",
    "5090": "RTX 5090",
    "pro6000maxq": "RTX PRO 6000 Max-Q",
    "i9_10940x": "Core i9-10940X",
    "i7_12700h": "Core i7-12700H",
}


def benchmark_conditions(source_file: str) -> dict[str, str]:
    """How a file of timm's benchmarks was measured, by its name, in the words of a record.

    Raises:
        ValueError: a name that is not understood.
    """
    name = FILE.fullmatch(source_file)
    if not name or name["device"] not in DEVICES:
        known = f"known devices: {', '.join(DEVICES)}"
        raise ValueError(f"{source_file!r} does not tell how it was measured; {known}")
    digits = name["torch"]
    # torch 1.12 and 1.13, then 2.x.y
    version = f"1.{digits[1:]}" if digits.startswith("1") else ".".join(digits)
    return {
        "device": DEVICES[name["device"]],
        "torch": version,
        "phase": PHASE_NAMES[name["phase"]],
        "dtype": TIMM_DTYPES[name["dtype"]],
        "memory_format": TIMM_LAYOUTS[name["memory_format"]],
        "compile": "compiled" if name["compile"] else "eager",
    }


@cache
def benchmarks() -> pd.DataFrame:
    """timm's speeds: source_file, model, resolution, images_per_second, batch_size and conditions.

    EfficientNets are named as this package's suites name them. Do not change the frame: it is
    shared.
    """
    return _timms("timm_benchmarks.csv")


@cache
def component_benchmarks() -> pd.DataFrame:
    """The same of networks that differ from ResNet50 in one thing, which a refinement changes too.

    ResNet50-C has only the stem of ResNet50-D, ResNet34 BasicBlocks, SE-ResNet50 SE in all stages,
    ResNetBlur50 a blur at every downsampling but the stem's convolution.
    """
    return _timms("timm_components.csv")


def _timms(file: str) -> pd.DataFrame:
    table = pd.read_csv(DATA / "published" / file)
    ran = pd.DataFrame([benchmark_conditions(name) for name in table["source_file"]])
    return table.assign(model=table["model"].str.removeprefix("tf_")).join(ran)


class Peak(NamedTuple):
    """What a data sheet promises: `flops` in FLOP/s, `bandwidth` in bytes per second."""

    flops: float
    bandwidth: float

    @property
    def ridge(self) -> float:
        """FLOP per byte from which arithmetic is the limit instead of memory."""
        return self.flops / self.bandwidth


@cache
def peak(device: str = "V100", dtype: str = "float16") -> Peak:
    """The data-sheet peak of a device in a dtype.

    Raises:
        KeyError: a device or dtype that `data/published/devices.csv` does not have.
    """
    table = pd.read_csv(DATA / "published" / "devices.csv").set_index(["device", "dtype"])
    row = table.loc[device, dtype]
    return Peak(row["tflops"] * 1e12, row["gb_per_second"] * 1e9)


@cache
def accuracies() -> pd.DataFrame:
    """timm's top-1 in per cent: model (without its tag), weights, resolution, top1 and more."""
    table = pd.read_csv(DATA / "published" / "timm_accuracy.csv")
    names = table["model"].str.extract(r"(?:tf_)?(?P<model>\w+)\.(?P<weights>\w+)")
    return table.assign(model=names["model"], weights=names["weights"])

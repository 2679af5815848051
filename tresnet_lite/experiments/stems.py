"""The stems that §2.1 compares, alone and in ResNet50.

A 7×7 convolution, ResNet-D's three 3×3, and SpaceToDepth. All have BatchNorm, ReLU and 64 output
channels, as on the first two rungs of table 4, so that they differ in nothing but the stem. The
names are those of the records; ResNet50 is ours, table 4's first rung.
"""

from __future__ import annotations

import pandas as pd
import torch

from tresnet_lite.counting import count_macs, count_parameters, receptive_field
from tresnet_lite.counting.variants import stems
from tresnet_lite.experiments.experiment import Experiment

STEM_LABELS = {
    "conv7x7": "ResNet50",
    "resnet_d": "ResNet50-D",
    "space_to_depth": "TResNet",
    "space_to_depth_1x1": "TResNet, 1×1",
}


ALONE = Experiment("stem", "alone", STEM_LABELS, base="conv7x7")
# The paper prints the speed of the whole ResNet50-D, whose shortcuts differ too, and says that its
# stem accounts for the loss in training speed. So both are timed, on one device.
_PRINTED = {
    "conv7x7": {"table": 1, "model": "ResNet50"},
    "resnet50_d": {"table": 1, "model": "ResNet50-D"},
    "space_to_depth": {"table": 4, "refinement": "+ Stem → SpaceToDepth"},
}
IN_RESNET50 = Experiment(
    "stem",
    "resnet50",
    {
        "conv7x7": STEM_LABELS["conv7x7"],
        "resnet_d": "ResNet50-D, stem only",
        "space_to_depth": STEM_LABELS["space_to_depth"],
        "resnet50_d": "ResNet50-D, whole",
    },
    base="conv7x7",
    printed=_PRINTED,
)


def stem_sizes(image_size: int = 224) -> pd.DataFrame:
    """What each stem has, computes and sees.

    Columns: stem, parameters, macs_m (millions), window and stride (pixels) of the receptive field.
    """
    with torch.device("meta"):  # nothing is computed
        all_stems = stems()
    rows = []
    for name, stem in all_stems.items():
        field, macs = receptive_field(stem), count_macs(stem, (3, image_size, image_size)) / 1e6
        row = {"stem": STEM_LABELS[name], "parameters": count_parameters(stem), "macs_m": macs}
        rows.append({**row, "window": field.size, "stride": field.stride})
    return pd.DataFrame(rows)

"""The ladder of table 4: from ResNet50 to TResNet-M, one refinement per rung.

What the paper leaves open, and what we decided:

* **Activations.** Leaky ReLU comes with Inplace-ABN, which needs an activation that it can invert;
  until then the rungs use ResNet50's ReLU.
* **Depths and widths.** §2.1 names the new widths and the deeper third stage together with the
  block types, so they enter on that rung: 3, 4, 11, 3 blocks and TResNet-M's widths. The stem is 64
  channels wide on every rung.
* **The average-pool shortcut** is not in the paper, only in the code. It enters with anti-aliasing:
  it takes the stride out of the shortcuts' convolutions, and averaging 2×2 pixels is a blur. It
  changes neither parameters nor MACs, so it can show only in the last rung's speed.
* **Initialisation** is TResNet's on every rung.
"""

from dataclasses import replace
from typing import Any

from tresnet_lite.model import TResNetConfig, variant

RESNET50 = "Original ResNet50"


def ablation_ladder() -> dict[str, TResNetConfig]:
    """Table 4's rows in order, TResNet-M last: printed label, "Optimizer" too → configuration."""
    rung = variant("resnet50")
    ladder = {RESNET50: rung}
    refinements: dict[str, dict[str, Any]] = {
        "+ Stem → SpaceToDepth": {"stem": "space_to_depth"},
        "+ Block-type selection": {
            "blocks": ("basic", "basic", "bottleneck", "bottleneck"),
            "depths": (3, 4, 11, 3),
        },
        "+ Inplace-ABN": {"norm": "iabn", "activation": "leaky_relu"},
        "+ Optimizer SE layers": {"se": (True, True, True, False)},
        "+ AA": {"antialias": True, "shortcut": "avgpool"},
    }
    for label, change in refinements.items():
        rung = ladder[label] = replace(rung, **change)
    return ladder

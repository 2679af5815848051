"""The V100's speeds that the paper prints, as something to fit to and to leave out."""

from __future__ import annotations

import pandas as pd

from tresnet_lite.checkout import DATA
from tresnet_lite.paper import MODELS, paper_table
from tresnet_lite.predict.fit import Speed
from tresnet_lite.predict.load import Load
from tresnet_lite.predict.sources import counted_load

SHARE = 0.9  # of the largest batch, at which the paper timed
USUAL = 256  # images of 224 px: taken as the largest batch where Table 3 prints none
# as tables and figures name them → as `build` does
BUILT = MODELS | {f"EfficientNet-B{number}": f"efficientnet_b{number}" for number in range(8)}
SIDES = {"EfficientNetB1": 240}  # of Table 1; all others 224
PHASES = {"inference": "inference_img_s", "training": "training_img_s"}


def paper_speeds() -> list[Speed]:
    """The 24 different speeds of Tables 1, 3, 4 and 6, inference first.

    Table 4's first and last rung are ResNet50 and TResNet-M of the other tables.
    """
    rows = []
    for phase, column in PHASES.items():
        for table in (1, 3):
            for row in paper_table(table).to_dict("records"):
                side = SIDES.get(row["model"], 224)
                rows.append((row["model"], side, phase, row[column]))
    for row in paper_table(4).to_dict("records")[1:-1]:
        rows.append((row["refinement"], 224, "inference", row["inference_img_s"]))
    for row in paper_table(6).dropna(subset="inference_img_s").to_dict("records"):
        rows.append((row["model"], row["resolution"], "inference", row["inference_img_s"]))
    return [_speed(*row) for row in sorted(set(rows), key=lambda row: (row[2], rows.index(row)))]


def _speed(network: str, side: int, phase: str, images_per_second: float) -> Speed:
    return Speed(network, *paper_step(network, side, phase), images_per_second)


def paper_step(network: str, side: int, phase: str) -> tuple[Load, int]:
    """A printed network's load, with the published Inplace-ABN, and its batch in the paper."""
    load = counted_load(BUILT.get(network, network), side, phase, "published")
    return load, paper_batch(network, side)


def paper_batch(network: str, side: int) -> int:
    """90 % of the largest batch: Table 3's, else as many pixels as `USUAL` images of 224 have."""
    largest = paper_table(3).set_index("model")["max_batch"]
    pixels = (224 / side) ** 2
    return max(1, round(SHARE * pixels * largest.get(network, USUAL)))


def digitised_speeds() -> list[Speed]:
    """14 speeds read off the paper's Figures 4 and 5, some per cent wrong each."""
    table = pd.read_csv(DATA / "published" / "digitised.csv")
    return [
        _speed(row["model"], row["resolution"], row["phase"], row["img_s"])
        for row in table.to_dict("records")
    ]

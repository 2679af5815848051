"""`validate` on a made-up folder of timm's form, whose constants are known."""

import numpy as np
import pandas as pd
import pytest
from made_up import RATES

from tresnet_lite.predict import validate as validating
from tresnet_lite.predict.roofline import Rules, demand, image_seconds
from tresnet_lite.predict.sources import timm_load

NAME = "benchmark-infer-amp-nchw-pt240-cu124-rtx4090.csv"
NETWORKS = ("resnet10t", "resnet18", "mobilenetv3_small_050", "regnetx_002", "lcnet_050")
SIDES = (64, 96, 128, 160, 192)


def rows(residual: float = 0.0) -> list[dict]:
    """Networks at several sizes, with the speeds that `RATES` give, and a log residual."""
    random, made = np.random.default_rng(3), []
    for network in NETWORKS:
        for side in SIDES:
            load = timm_load(network, side, "inference")
            seconds = image_seconds(demand([(load, 256)], Rules()), RATES)[0]
            speed = np.exp(random.normal(0, residual)) / seconds
            row = {"model": network, "infer_img_size": side, "infer_batch_size": 256}
            row |= {"infer_samples_per_sec": speed, "param_count": round(load.parameters / 1e6, 2)}
            made.append(row | {"infer_macts": round(load.activations / 1e6, 2)})
    return made


def write(folder, made, name: str = NAME):
    pd.DataFrame(made).to_csv(folder / name, index=False)
    return folder / name


def test_unseen_halves_of_a_file_that_follows_the_model_are_predicted(tmp_path):
    result = validating.validate(write(tmp_path, rows()))
    assert result.networks == 25 and result.dropped == 0
    assert result.median < 0.001 and result.within_10 == 1
    assert result.gb_per_second == pytest.approx(RATES.bandwidth / 1e9, rel=0.01)
    assert result.macs > 0.05 and result.activations > 0.05
    noisy = validating.validate(write(tmp_path, rows(residual=0.1)))
    assert 0.03 < noisy.median < 0.15 and noisy.covered >= 0.8


def test_other_networks_of_the_same_name_and_transformers_are_not_judged(tmp_path):
    other = rows()[0] | {"param_count": 99.0}
    slim = rows()[1] | {"infer_macts": 0.01}
    gone = rows()[0] | {"model": "left_timm"}
    transformer = rows()[0] | {"model": "vit_tiny_patch16_224", "infer_img_size": 224}
    speeds, dropped = validating.file_speeds(
        write(tmp_path, [*rows(), other, slim, gone, transformer])
    )
    assert len(speeds) == 25 and dropped == 2


def test_what_cannot_be_validated_says_why(tmp_path):
    with pytest.raises(FileNotFoundError, match="give the results/ folder of timm's repository"):
        validating.result_files(tmp_path)
    write(tmp_path, rows()[:10])
    write(tmp_path, rows()[:10], "benchmark-infer-fp32-nchw-pt240-cpu-i7_12700h-dynamo.csv")
    (file,) = validating.result_files(tmp_path)  # a CPU's is left out
    with pytest.raises(ValueError, match="10 networks can be judged, 20 are needed"):
        validating.validate(file)

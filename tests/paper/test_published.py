"""What others published: read as their file names say, of the networks and weights that the paper
compares with.
"""

import pytest
import timm

from tresnet_lite.bench.comparisons import EFFICIENTNETS
from tresnet_lite.paper.published import accuracies, benchmark_conditions, benchmarks


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (
            "benchmark-infer-amp-nchw-pt113-cu117-rtx3090.csv",
            "RTX 3090 1.13 inference float16 channels_first eager",
        ),
        (
            "benchmark-train-amp-nhwc-pt112-cu113-rtx3090.csv",
            "RTX 3090 1.12 training float16 channels_last eager",
        ),
        (
            "benchmark-infer-bf16-nchw-pt291-cu130-pro6000maxq-dynamo.csv",
            "RTX PRO 6000 Max-Q 2.9.1 inference pure bfloat16 channels_first compiled",
        ),
        (
            "benchmark-infer-fp32-nchw-pt221-cpu-i9_10940x-dynamo.csv",
            "Core i9-10940X 2.2.1 inference float32 channels_first compiled",
        ),
    ],
)
def test_a_file_name_tells_the_conditions(name, told):
    assert " ".join(benchmark_conditions(name).values()) == told


@pytest.mark.parametrize(
    "name",
    [
        "results.csv",
        "benchmark-infer-amp-nchw-pt113-cu117-abacus.csv",
        "benchmark-infer-fp8-nchw-pt291-cpu-4090.csv",
    ],
)
def test_a_name_that_says_something_else_is_refused(name):
    with pytest.raises(ValueError, match="does not tell how it was measured"):
        benchmark_conditions(name)


def test_every_source_has_the_network_that_ratios_are_to():
    table = benchmarks()
    assert not table.duplicated(["source_file", "model", "resolution"]).any()
    assert (table["images_per_second"] > 0).all()
    for name, rows in table.groupby("source_file"):
        assert {"resnet50", "tresnet_m"} <= set(rows["model"]), name


def test_the_efficientnets_are_those_that_the_weights_were_trained_for():
    """Resolution, crop and interpolation against what timm itself says of the weights."""
    for row in accuracies().itertuples():
        if row.model not in EFFICIENTNETS:
            continue
        cfg = timm.get_pretrained_cfg(f"tf_{row.model}.{row.weights}")
        assert (
            cfg.input_size
            == (3, row.resolution, row.resolution)
            == (3, *[EFFICIENTNETS[row.model]] * 2)
        )
        assert (cfg.crop_pct, cfg.interpolation) == (row.crop, row.interpolation)
    own = benchmarks()[benchmarks()["model"].isin(EFFICIENTNETS)]
    assert (own["resolution"] == own["model"].map(EFFICIENTNETS)).all()


def test_larger_efficientnets_are_more_accurate():
    top1 = (
        accuracies().query("weights == 'aa_in1k'").set_index("model")["top1"].reindex(EFFICIENTNETS)
    )
    assert top1.is_monotonic_increasing and top1.notna().all()


def test_b5_is_as_accurate_as_the_paper_quotes_it(text):  # noqa: F811
    b5 = accuracies().set_index("model").at["efficientnet_b5", "top1"]
    assert f"EfficientNet-B5 ({b5:.1f}%)" in text

"""timm finds our networks and builds them as it builds its own."""

import pytest
import timm
import torch
from helpers import images
from timm.data import create_transform, resolve_model_data_config
from torchvision import transforms as T

import tresnet_lite.timm_models  # noqa: F401  (registers the models)

NAMES = ["tresnet_lite_l", "tresnet_lite_m", "tresnet_lite_v2_l", "tresnet_lite_xl"]


def test_registered():
    assert timm.list_models("tresnet_lite*") == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_the_same_network_as_timms(name):
    with torch.device("meta"):
        ours, timms = timm.create_model(name), timm.create_model(name.replace("_lite", ""))
    assert {k: v.shape for k, v in ours.state_dict().items()} == {
        k: v.shape for k, v in timms.state_dict().items()
    }
    assert (
        ours.pretrained_cfg["hf_hub_id"]
        == f"timm/{timms.pretrained_cfg['architecture']}.{timms.pretrained_cfg['tag']}"
    )


@pytest.mark.parametrize("tag", ["miil_in1k", "miil_in1k_448", "miil_in21k"])
def test_options_go_where_they_belong(tag):
    model = timm.create_model(
        f"tresnet_lite_m.{tag}", norm="bn", width=8, drop_rate=0.1, in_chans=1, num_classes=5
    )
    assert (model.config.norm, model.config.width, model.drop_rate) == ("bn", 8, 0.1)
    assert model.eval()(images(1, 1, 32, 32)).shape == (1, 5)


def test_features_at_strides_4_to_32():
    model = timm.create_model("tresnet_lite_m", features_only=True, width=8).eval()
    assert model.feature_info.reduction() == [4, 8, 16, 32]
    maps = model(images(1, 3, 64, 96))
    assert [tuple(m.shape[1:]) for m in maps] == [
        (8, 16, 24),
        (16, 8, 12),
        (128, 4, 6),
        (256, 2, 3),
    ]
    assert model.feature_info.channels() == [m.shape[1] for m in maps]
    two = timm.create_model("tresnet_lite_m", features_only=True, out_indices=(1, 3), width=8)
    assert two.feature_info.reduction() == [8, 32]


@pytest.mark.parametrize(
    ("tag", "size", "resized"), [("miil_in1k", 224, 256), ("miil_in1k_448", 448, (448, 448))]
)
def test_preprocessing_is_the_papers(tag, size, resized):
    model = timm.create_model(f"tresnet_lite_m.{tag}", width=8)
    data = resolve_model_data_config(model)
    assert (data["mean"], data["std"], data["input_size"]) == (
        (0.0,) * 3,
        (1.0,) * 3,
        (3, size, size),
    )
    resize = next(t for t in create_transform(**data).transforms if isinstance(t, T.Resize))
    assert resize.size == resized

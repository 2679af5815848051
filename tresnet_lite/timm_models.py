"""Our networks among timm's: with this module, ``timm.create_model("tresnet_lite_m")`` works.

With timm come its ``pretrained=True`` (the published weights from the hub), ``features_only=True``
(strides 4, 8, 16 and 32), its training scripts and its transforms from ``pretrained_cfg``.
"""

from dataclasses import fields, replace
from typing import Any

from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from torch import nn

from tresnet_lite.model import TResNet, TResNetConfig, variant
from tresnet_lite.weights import to_timm_layout

__all__: list[str] = []  # register_model fills it


def _cfg(source: str, size: int = 224, num_classes: int = 1000) -> dict[str, Any]:
    """Pixels in [0, 1] without mean and std (§3.1); at 448 images are squashed, not cropped."""
    crop = {"crop_pct": 0.875} if size == 224 else {"crop_pct": 1.0, "crop_mode": "squash"}
    return {
        "hf_hub_id": f"timm/{source}",
        "num_classes": num_classes,
        "input_size": (3, size, size),
        "min_input_size": (3, 20, 20),
        "pool_size": (size // 32, size // 32),
        "interpolation": "bilinear",
        "mean": (0.0, 0.0, 0.0),
        "std": (1.0, 1.0, 1.0),
        "first_conv": "body.conv1.conv",
        "classifier": "head.fc",
        "license": "apache-2.0",
        "paper_ids": "arXiv:2003.13630",
        **crop,
    }


default_cfgs = generate_default_cfgs(
    {
        "tresnet_lite_m.miil_in21k_ft_in1k": _cfg("tresnet_m.miil_in21k_ft_in1k"),
        "tresnet_lite_m.miil_in21k": _cfg("tresnet_m.miil_in21k", num_classes=11221),
        "tresnet_lite_m.miil_in1k": _cfg("tresnet_m.miil_in1k"),
        "tresnet_lite_m.miil_in1k_448": _cfg("tresnet_m.miil_in1k_448", size=448),
        "tresnet_lite_l.miil_in1k": _cfg("tresnet_l.miil_in1k"),
        "tresnet_lite_l.miil_in1k_448": _cfg("tresnet_l.miil_in1k_448", size=448),
        "tresnet_lite_xl.miil_in1k": _cfg("tresnet_xl.miil_in1k"),
        "tresnet_lite_xl.miil_in1k_448": _cfg("tresnet_xl.miil_in1k_448", size=448),
        "tresnet_lite_v2_l.miil_in21k_ft_in1k": _cfg("tresnet_v2_l.miil_in21k_ft_in1k"),
        "tresnet_lite_v2_l.miil_in21k": _cfg("tresnet_v2_l.miil_in21k", num_classes=11221),
    }
)


def _create(name: str, pretrained: bool, **kwargs: Any) -> nn.Module:
    """Options of :class:`TResNetConfig` go to the configuration, the rest to timm."""
    overrides = {f.name: kwargs.pop(f.name) for f in fields(TResNetConfig) if f.name in kwargs}
    return build_model_with_cfg(
        TResNet,
        name.replace("tresnet_", "tresnet_lite_"),
        pretrained,
        pretrained_filter_fn=lambda state, model: to_timm_layout(state),
        feature_cfg={"out_indices": (0, 1, 2, 3), "flatten_sequential": True},
        config=replace(variant(name), **overrides),
        **kwargs,
    )


@register_model
def tresnet_lite_m(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    return _create("tresnet_m", pretrained, **kwargs)


@register_model
def tresnet_lite_l(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    return _create("tresnet_l", pretrained, **kwargs)


@register_model
def tresnet_lite_xl(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    return _create("tresnet_xl", pretrained, **kwargs)


@register_model
def tresnet_lite_v2_l(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    return _create("tresnet_v2_l", pretrained, **kwargs)

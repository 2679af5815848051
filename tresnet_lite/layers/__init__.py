"""The paper's refinements, one file each, usable alone."""

from tresnet_lite.layers.blur_pool import BlurPool2d
from tresnet_lite.layers.fast_gap import FastGlobalAvgPool2d
from tresnet_lite.layers.inplace_abn import (
    InPlaceABN,
    InPlaceABNSync,
    convert_weight_sign,
    synchronise_norms,
)
from tresnet_lite.layers.space_to_depth import DepthToSpace, SpaceToDepth
from tresnet_lite.layers.squeeze_excite import SqueezeExcite

__all__ = [
    "BlurPool2d",
    "DepthToSpace",
    "FastGlobalAvgPool2d",
    "InPlaceABN",
    "InPlaceABNSync",
    "SpaceToDepth",
    "SqueezeExcite",
    "convert_weight_sign",
    "synchronise_norms",
]

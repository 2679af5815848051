"""The networks of a campaign are those that its records name."""

import importlib.util

import pytest
import torch
from torch import nn

from tresnet_lite import create_model
from tresnet_lite.bench.compare import norm_backend
from tresnet_lite.counting import count_parameters
from tresnet_lite.counting.networks import build

timm = pytest.importorskip("timm")


def meta(name: str, **options) -> nn.Module:
    with torch.device("meta"):
        return build(name, **options)


def test_ours_timms_and_the_rungs():
    assert meta("tresnet_m").config == create_model("tresnet_m", num_classes=1).config
    assert meta("tresnet_m", norm="bn", memory="paper").config.norm == "bn"
    assert type(meta("resnet50")).__module__.startswith("timm.")
    assert (
        count_parameters(meta("Original ResNet50"))
        == count_parameters(meta("resnet50"))
        == 25_557_032
    )
    assert meta("+ AA").config == meta("tresnet_m").config


def test_a_model_that_this_timm_lacks_is_named_with_its_version():
    with pytest.raises(LookupError, match=rf"timm {timm.__version__} has no model 'resnet9000'"):
        build("resnet9000")


def test_timms_models_take_no_options_of_ours():
    with pytest.raises(ValueError, match="options of our networks, not of timm's resnet50"):
        build("resnet50", norm="bn")


@pytest.mark.skipif(
    importlib.util.find_spec("inplace_abn") is None, reason="inplace-abn is not installed"
)
def test_the_published_norms_in_place_of_ours():
    from inplace_abn.functions import InPlaceABN as Published

    torch.manual_seed(0)
    network = build("tresnet_m", norm="mapillary", memory="paper")
    assert norm_backend(network) == "mapillary"
    layer = network.body.layer1[0].conv1.bn
    y = layer.train()(torch.rand(2, 64, 4, 4, requires_grad=True) * 1.0)
    assert isinstance(y.grad_fn, Published._backward_cls)
    loss = network.train()(torch.rand(2, 3, 64, 64)).square().mean()
    loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())

"""The family: exact sizes, timm's logits, the paper's reading, real use, bad input."""

import copy
import io

import pytest
import timm
import torch
from helpers import images, relative_error, reseed
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import tresnet_lite
from tresnet_lite import TResNet, TResNetConfig, create_model, paper_reading
from tresnet_lite.counting import count_macs, count_parameters
from tresnet_lite.layers import InPlaceABN

TRESNETS = ["tresnet_m", "tresnet_l", "tresnet_xl", "tresnet_v2_l"]
PARAMETERS = {
    "tresnet_m": 31_389_032,
    "tresnet_l": 55_989_256,
    "tresnet_xl": 78_436_244,
    "tresnet_v2_l": 46_174_824,
    "resnet50": 25_557_032,
}
NARROW = {"width": 8, "depths": (1, 1, 1, 1)}


def narrow(**options) -> TResNet:
    torch.manual_seed(0)
    return reseed(create_model("tresnet_m", num_classes=10, **{**NARROW, **options}))


@pytest.mark.parametrize("name", tresnet_lite.list_models())
def test_parameters(name):
    with torch.device("meta"):
        assert count_parameters(create_model(name)) == PARAMETERS[name]


def test_macs_of_tresnet_m_at_224():
    assert count_macs(create_model("tresnet_m"), (3, 224, 224)) == 5_734_965_248


@pytest.mark.parametrize("norm", ["iabn", "bn"])
@pytest.mark.parametrize("name", TRESNETS)
def test_exchangeable_with_timm(name, norm):
    """Re-seeded weights go strictly both ways; logits agree to rounding in float32 and float64."""
    ours, timms = create_model(name, norm=norm).eval(), reseed(timm.create_model(name)).eval()
    ours.load_state_dict(timms.state_dict(), strict=True)
    back = timm.create_model(name)
    back.load_state_dict(ours.state_dict(), strict=True)
    theirs, again = timms.state_dict(), back.state_dict()
    assert theirs.keys() == again.keys() and all(
        torch.equal(theirs[key], again[key]) for key in theirs
    )
    x = images(2, 3, 64, 96)
    with torch.no_grad():
        assert relative_error(ours(x), timms(x)) < 1e-5
        assert relative_error(ours.double()(x.double()), timms.double()(x.double())) < 1e-12


def test_training_forward_and_gradients_are_timms():
    ours, timms = (
        create_model("tresnet_m").double(),
        reseed(timm.create_model("tresnet_m")).double(),
    )
    ours.load_state_dict(timms.state_dict())
    x = images(2, 3, 64, 64, dtype=torch.float64)
    for model in (ours, timms):
        model(x).square().sum().backward()
    expected = dict(timms.named_parameters())
    for name, parameter in ours.named_parameters():
        assert relative_error(parameter.grad, expected[name].grad) < 1e-8, name
    for name, buffer in ours.named_buffers():
        if "running" in name:
            torch.testing.assert_close(buffer, timms.get_buffer(name), rtol=1e-10, atol=1e-12)


def test_fresh_models_are_initialised_as_published():
    torch.manual_seed(0)
    model = create_model("tresnet_m")
    for stage in (model.body.layer1, model.body.layer2, model.body.layer3, model.body.layer4):
        assert all(block.last_norm.weight.eq(0).all() for block in stage)
    conv = model.body.layer4[2].conv2.conv.weight
    assert conv.std().item() == pytest.approx((2 / (conv.shape[0] * 9)) ** 0.5, rel=0.01)
    assert model.head.fc.weight.std().item() == pytest.approx(0.01, rel=0.01)


def test_slopes():
    model = create_model("tresnet_m")
    assert model.body.conv1.bn.activation_param == 1e-2
    assert model.body.layer3[0].conv2.bn.activation_param == 1e-3
    assert (
        create_model("tresnet_v2_l", block_slope=1e-6).body.layer1[0].conv1.bn.activation_param
        == 1e-6
    )


# The paper's reading beside the code's


def test_paper_reading_differs_where_the_table_says():
    with torch.device("meta"):
        code, paper = create_model("tresnet_xl"), TResNet(paper_reading("tresnet_xl"))
    assert (code.body.conv1.conv.kernel_size, paper.body.conv1.conv.kernel_size) == ((3, 3), (1, 1))
    assert (code.num_features, paper.num_features) == (2656, 2688)
    assert isinstance(paper.body.layer1[0].act, nn.LeakyReLU) and isinstance(
        code.body.layer1[0].act, nn.ReLU
    )


def test_squeeze_excite_ratios():
    with torch.device("meta"):
        code, paper = create_model("tresnet_m"), TResNet(paper_reading("tresnet_m"))

    def ratios(model):
        stages = (model.body.layer1, model.body.layer2, model.body.layer3)
        return [stage[0].se.fc1.in_channels // stage[0].se.fc1.out_channels for stage in stages]

    assert ratios(paper) == [4, 4, 8]
    assert ratios(code) == [1, 2, 2]
    assert isinstance(code.body.layer4[0].se, nn.Identity)


def test_table_2_shapes():
    """Output sizes and channels of table 2, its misprinted 30×30 apart."""
    shapes = {}
    with torch.device("meta"):
        model = create_model("tresnet_m")
        for name, module in model.body.named_children():
            module.register_forward_hook(
                lambda m, i, out, name=name: shapes.__setitem__(name, tuple(out.shape[1:]))
            )
        model(torch.empty(1, 3, 224, 224))
    assert shapes == {
        "s2d": (48, 56, 56),
        "conv1": (64, 56, 56),
        "layer1": (64, 56, 56),
        "layer2": (128, 28, 28),
        "layer3": (1024, 14, 14),
        "layer4": (2048, 7, 7),
    }


# timm's interface


def test_timms_interface():
    model = narrow().eval()
    x = images(2, 3, 64, 64)
    features = model.forward_features(x)
    assert features.shape == (2, model.num_features, 2, 2)
    assert torch.equal(model.forward_head(features), model(x))
    assert torch.equal(model.forward_head(features, pre_logits=True), features.mean((2, 3)))
    assert model.get_classifier() is model.head.fc


@pytest.mark.parametrize("num_classes", [0, 1, 7])
def test_reset_classifier(num_classes):
    model = narrow().eval().double()
    model.reset_classifier(num_classes)
    assert model(images(2, 3, 32, 32, dtype=torch.float64)).shape == (
        2,
        num_classes or model.num_features,
    )
    assert model.num_classes == num_classes and not model.head.training
    model.reset_classifier(0, global_pool="")
    assert model(images(2, 3, 64, 32, dtype=torch.float64)).shape == (2, model.num_features, 2, 1)


@pytest.mark.parametrize(("num_classes", "in_chans"), [(1000, 1), (0, 3), (7, 5)])
def test_any_classes_and_channels(num_classes, in_chans):
    model = create_model("tresnet_m", num_classes=num_classes, in_chans=in_chans, **NARROW).eval()
    assert model(images(1, in_chans, 32, 32)).shape == (1, num_classes or model.num_features)


@given(height=st.integers(1, 100), width=st.integers(1, 100))
@settings(deadline=None, max_examples=40)
def test_a_size_works_or_is_refused_with_ones_that_work(height, width):
    model = SIZED
    x = images(1, 3, height, width)
    if height % 4 == 0 and width % 4 == 0 and min(height, width) >= 20:
        assert model.forward_features(x).shape[2:] == (-(-height // 32), -(-width // 32))
    else:
        with pytest.raises(ValueError, match="nearest") as error:
            model(x)
        name, bad = str(error.value).split()[:2]
        assert int(bad) == {"height": height, "width": width}[name]
        for good in str(error.value).split("nearest: ")[1].split(" (")[0].split(" or "):
            assert model(images(1, 3, int(good), int(good))).shape == (1, 10)


SIZED = narrow().eval()


# Real use


@pytest.mark.parametrize("norm", ["iabn", "bn"])
def test_deepcopy_and_ema_after_a_training_forward(norm):
    model = narrow(norm=norm)
    loss = model(images(2, 3, 32, 32)).sum()
    twin = copy.deepcopy(model)
    ema = torch.optim.swa_utils.AveragedModel(model)
    loss.backward()
    ema.update_parameters(model)
    assert twin.head.fc.weight.grad is None and model.head.fc.weight.grad is not None


def test_basic_block_without_se_in_backward():
    """The published block adds in place onto what Inplace-ABN keeps, and fails here."""
    model = narrow(se=(False,) * 4)
    model(images(2, 3, 32, 32)).sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


@pytest.mark.parametrize("norm", ["iabn", "bn"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast(dtype, norm):
    """Half precision keeps its ≈3 (fp16) or 2 (bf16) digits through the dozen convolutions of the
    narrow network.
    """
    model, x = narrow(norm=norm).eval(), images(2, 3, 64, 64)
    with torch.no_grad():
        exact = model(x)
        with torch.autocast("cpu", dtype=dtype):
            half = model(x)
    assert half.dtype == dtype
    assert relative_error(half.float(), exact) < 20 * torch.finfo(dtype).eps
    with torch.autocast("cpu", dtype=dtype):
        loss = model.train()(x).float().square().mean()
    loss.backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


def test_channels_last_changes_nothing():
    model, x = narrow().double(), images(2, 3, 64, 64, dtype=torch.float64)
    expected = model(x)
    last = copy.deepcopy(model).to(memory_format=torch.channels_last)
    y = last(x.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(y, expected, rtol=1e-10, atol=1e-12)
    assert last.forward_features(x.contiguous(memory_format=torch.channels_last)).is_contiguous(
        memory_format=torch.channels_last
    )


def test_state_dict_travels_between_devices():
    buffer = io.BytesIO()
    torch.save(narrow().state_dict(), buffer)
    buffer.seek(0)
    state = torch.load(buffer, map_location="meta", weights_only=True)
    with torch.device("meta"):
        twin = create_model("tresnet_m", num_classes=10, **NARROW)
        twin.load_state_dict(state, strict=True, assign=True)
        assert twin(torch.empty(2, 3, 32, 32)).shape == (2, 10)


def test_default_norm():
    assert any(isinstance(m, InPlaceABN) for m in create_model("tresnet_m", **NARROW).modules())
    for model in (
        create_model("tresnet_m", norm="bn", **NARROW),
        create_model("resnet50", **NARROW),
    ):
        assert not any(isinstance(m, InPlaceABN) for m in model.modules())


# Bad input


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("tresnet_n",), ValueError, "did you mean tresnet_m"),
        (("zzz",), ValueError, "known: tresnet_m"),
    ],
)
def test_unknown_names(arguments, error, message):
    with pytest.raises(error, match=message):
        create_model(*arguments)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"stem_kernal": 1}, TypeError, "unknown option 'stem_kernal'; did you mean stem_kernel"),
        ({"stem_kernel": 5}, ValueError, "must be 3 .* or 1"),
        ({"norm": "gn"}, ValueError, r"norm must be one of \('iabn', 'bn'\), got 'gn'"),
        ({"blocks": ("basic",) * 3}, ValueError, "one entry for each of the four stages"),
        ({"blocks": ("basic", "basic", "basic", "wide")}, ValueError, r"got \['wide'\]"),
        ({"width": 0}, ValueError, "must be positive"),
        ({"num_classes": -1}, ValueError, "num_classes must be 0"),
        ({"in_chans": 0}, ValueError, "in_chans must be positive"),
        ({"antialias": "no"}, ValueError, "antialias must be True or False, got 'no'"),
        ({"antialias": 1}, ValueError, "antialias must be True or False, got 1"),
        ({"se": True}, ValueError, "se needs one entry for each of the four stages, got True"),
        ({"se": "none"}, ValueError, "se needs one entry for each of the four stages"),
        ({"se": ("no",) * 4}, ValueError, "se must be True or False, got 'no'"),
        ({"depths": 3}, ValueError, "depths needs one entry for each of the four stages"),
        ({"depths": (1, 1, 1, 1.0)}, ValueError, "depths must be a whole number, got 1.0"),
        ({"width": 8.0}, ValueError, "width must be a whole number, got 8.0"),
        ({"width": "8"}, ValueError, "width must be a whole number, got '8'"),
        ({"width": True}, ValueError, "width must be a whole number, got True"),
        ({"stem_slope": None}, ValueError, "stem_slope must be a finite number"),
        ({"stem_slope": -1, "norm": "bn"}, ValueError, "stem_slope must be a finite number"),
        ({"block_slope": float("nan")}, ValueError, "block_slope must be a finite number"),
        ({"block_slope": float("inf")}, ValueError, "block_slope must be a finite number"),
        ({"num_classes": "10"}, ValueError, "num_classes must be a whole number, got '10'"),
        ({"num_classes": None}, ValueError, "num_classes must be a whole number, got None"),
        ({"in_chans": 1.0}, ValueError, "in_chans must be a whole number, got 1.0"),
    ],
)
def test_bad_options(options, error, message):
    with pytest.raises(error, match=message):
        create_model("tresnet_m", **options)


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (
            torch.rand(2, 1, 32, 32),
            ValueError,
            r"\(batch, 3, height, width\), got \(2, 1, 32, 32\)",
        ),
        (torch.rand(3, 32, 32), ValueError, r"add the batch axis with x\[None\]"),
        (
            torch.zeros(1, 3, 32, 32, dtype=torch.uint8),
            TypeError,
            r"float images .* got torch.uint8; try x.float",
        ),
        (torch.rand(1, 3, 226, 224), ValueError, "height 226 .* nearest: 224 or 228"),
        (torch.rand(1, 3, 32, 8), ValueError, "width 8 .* at least 20; nearest: 20"),
    ],
)
def test_bad_images(x, error, message):
    with pytest.raises(error, match=message):
        SIZED(x)


def test_a_classifier_needs_pooling():
    with pytest.raises(ValueError, match="goes with num_classes=0"):
        TResNet(TResNetConfig(**NARROW), global_pool="")
    with pytest.raises(ValueError, match='must be "avg"'):
        TResNet(TResNetConfig(**NARROW), global_pool="max")

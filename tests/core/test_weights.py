"""Checkpoints of every layout, and BatchNorm against Inplace-ABN."""

import re

import pytest
import timm
import torch
from helpers import images, relative_error, reseed
from timm.models.tresnet import checkpoint_filter_fn
from torch import nn

from tresnet_lite import create_model, load_weights, to_batchnorm, to_inplace_abn
from tresnet_lite.layers import InPlaceABN
from tresnet_lite.weights import to_timm_layout

NARROW = {"width": 8, "depths": (1, 2, 1, 1), "num_classes": 10}
# the convolutions that stride, in TResNet-M
BLURRED = (
    "layer2.0.conv1",
    "layer3.0.conv2",
    "layer4.0.conv2",
)


def narrow(seed=0, **options):
    return reseed(create_model("tresnet_m", **{**NARROW, **options}), seed).eval()


def in_the_authors_layout(state, blurs):
    """Units are pairs (0: convolution, 1: norm); a blur wraps the pair once more; Inplace-ABN
    counts no batches.
    """
    published = {}
    for key, value in state.items():
        if key.endswith("num_batches_tracked"):
            continue
        inner = ".0" if any(unit in key for unit in BLURRED) else ""
        key = re.sub(r"(conv\d)\.conv", rf"\g<1>{inner}.0", key)
        key = re.sub(r"(conv\d)\.bn", rf"\g<1>{inner}.1", key)
        key = key.replace("downsample.1.conv", "downsample.1.0").replace(
            "downsample.1.bn", "downsample.1.1"
        )
        published[key] = value
    if blurs:
        published |= {f"body.{unit}.1.filt": torch.ones(16, 1, 3, 3) for unit in BLURRED}
    return published


def assert_same(state, expected):
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[key], expected[key]) for key in expected)


@pytest.mark.parametrize("blurs", [False, True])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"model": state},
        lambda state: {
            "epoch": 3,
            "state_dict": {f"module.{key}": value for key, value in state.items()},
        },
    ],
    ids=["plain", "model", "ddp"],
)
def test_the_authors_layout(wrap, blurs):
    """Names as timm's; norm weights, trained as |w| + 1e-5, in BatchNorm's reading."""
    state = narrow().state_dict()
    loaded = load_weights(narrow(seed=1), wrap(in_the_authors_layout(state, blurs))).state_dict()
    assert_same(
        loaded, {k: v.abs() + 1e-5 if k.endswith("bn.weight") else v for k, v in state.items()}
    )


def test_the_authors_layout_is_read_as_timm_reads_it():
    published = in_the_authors_layout(timm.create_model("tresnet_m").state_dict(), blurs=False)
    assert_same(to_timm_layout(published), checkpoint_filter_fn(published, None))


def test_the_published_norm_gives_the_converted_models_logits():
    """An Inplace-ABN that reads |w| + eps, with the weights as trained, against our model with
    converted weights.
    """
    trained = narrow()
    converted = load_weights(
        narrow(seed=1), in_the_authors_layout(trained.state_dict(), blurs=True)
    )
    for module in trained.modules():
        if isinstance(module, InPlaceABN):
            module.weight_sign = "abs"
    x = images(2, 3, 64, 64)
    with torch.no_grad():
        assert relative_error(converted(x), trained(x)) < 1e-5


def test_timms_layout_and_export_back(tmp_path):
    timms = reseed(timm.create_model("tresnet_m"))
    ours = load_weights(create_model("tresnet_m"), {"state_dict": timms.state_dict()})
    torch.save(ours.state_dict(), tmp_path / "weights.pth")
    again = timm.create_model("tresnet_m", checkpoint_path=str(tmp_path / "weights.pth"))
    assert_same(again.state_dict(), timms.state_dict())


@pytest.mark.parametrize("library", ["timm", "torchvision"])
def test_resnet50(library):
    torchvision = pytest.importorskip("torchvision")
    reference = (
        timm.create_model("resnet50") if library == "timm" else torchvision.models.resnet50()
    )
    reseed(reference).eval().double()
    ours = load_weights(create_model("resnet50").double(), reference.state_dict()).eval()
    x = images(2, 3, 64, 96, dtype=torch.float64)
    with torch.no_grad():
        assert relative_error(ours(x), reference(x)) < 1e-12


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_files(tmp_path, suffix):
    state, path = narrow().state_dict(), tmp_path / f"weights{suffix}"
    if suffix == ".pth":
        torch.save({"model": state}, path)
    else:
        from safetensors.torch import save_file

        save_file(state, path)
    for source in (path, str(path)):
        assert_same(load_weights(narrow(seed=1), source).state_dict(), state)


# What does not fit


def test_misfits_are_listed_and_the_model_stays():
    model = narrow()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    other = narrow(num_classes=7, seed=1).state_dict()
    other["body.surplus"] = other.pop("body.conv1.bn.bias")
    with pytest.raises(ValueError) as error:
        load_weights(model, other)
    for part in (
        "1 missing in the checkpoint: body.conv1.bn.bias",
        "1 not in the model: body.surplus",
        "head.fc.weight: checkpoint (7, 256), model (10, 256)",
        "build the model with the checkpoint's num_classes",
    ):
        assert part in str(error.value)
    assert_same(model.state_dict(), before)


@pytest.mark.parametrize("bad", [{}, {"epoch": 3}, {"model": {"weight": [1.0]}}])
def test_what_is_no_checkpoint(bad):
    with pytest.raises(ValueError, match="this is not a checkpoint"):
        load_weights(narrow(), bad)


def test_unsafe_and_broken_files(tmp_path):
    # a whole module, which could run code when unpickled
    torch.save(nn.Linear(2, 2), tmp_path / "pickled.pth")
    (tmp_path / "cut.pth").write_bytes(b"PK half a file")
    torch.save([1, 2], tmp_path / "list.pth")
    for name, message in (
        ("pickled", "plain tensors"),
        ("cut", "plain tensors"),
        ("list", "holds a list"),
    ):
        with pytest.raises(ValueError, match=message):
            load_weights(narrow(), tmp_path / f"{name}.pth")


def test_missing_files_are_named_with_their_neighbours(tmp_path):
    torch.save(narrow().state_dict(), tmp_path / "weights.pth")
    with pytest.raises(FileNotFoundError, match="in that folder: weights.pth"):
        load_weights(narrow(), tmp_path / "weihgts.pth")
    with pytest.raises(FileNotFoundError, match="no folder"):
        load_weights(narrow(), tmp_path / "absent" / "weights.pth")


@pytest.mark.filterwarnings("ignore:.*not encrypted")
@pytest.mark.parametrize(
    "source",
    ["timm/tresnet_m.miil_in1k", "hf-hub:timm/tresnet_m.miil_in1k", "http://127.0.0.1:9/w"],
)
def test_no_network_is_said_clearly(source, monkeypatch, tmp_path):
    # as a failing network, without the retries
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(
        ConnectionError, match="cannot be fetched from here .* copy the file and give its path"
    ):
        load_weights(narrow(), source)


# BatchNorm against Inplace-ABN


@pytest.mark.parametrize("activation", ["leaky_relu", "relu"])
def test_norms_convert_without_loss(activation):
    """Weights of either sign and zero: the same state, the same function in eval and in training,
    there and back.
    """
    iabn = narrow(activation=activation).double()
    iabn.body.layer1[0].conv1.bn.weight.data[:3] = torch.tensor([0.0, -1.0, -1e-7])
    bn = to_batchnorm(iabn)
    back = to_inplace_abn(bn)
    assert not any(isinstance(m, InPlaceABN) for m in bn.modules()) and bn.config.norm == "bn"
    assert (
        not any(isinstance(m, nn.BatchNorm2d) for m in back.modules())
        and back.config == iabn.config
    )
    assert_same(bn.state_dict(), iabn.state_dict())
    assert_same(back.state_dict(), iabn.state_dict())
    x = images(2, 3, 64, 64, dtype=torch.float64)
    for mode in (False, True):
        outputs = [model.train(mode)(x) for model in (iabn, bn, back)]
        for y in outputs[1:]:
            torch.testing.assert_close(y, outputs[0], rtol=1e-10, atol=1e-12)
    for a, b in zip(iabn.buffers(), bn.buffers(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


def test_conversion_keeps_frozen_parameters_mode_and_dtype():
    model = narrow().bfloat16()
    model.body.conv1.bn.weight.requires_grad_(False)
    model.body.layer1.train()
    for converted in (to_batchnorm(model), to_inplace_abn(to_batchnorm(model))):
        assert (
            not converted.body.conv1.bn.weight.requires_grad
            and converted.body.conv1.bn.bias.requires_grad
        )
        assert converted.body.layer1[0].conv1.bn.training and not converted.body.conv1.bn.training
        assert converted.body.conv1.bn.weight.dtype == torch.bfloat16


def test_a_published_style_norm_converts_on_its_own():
    model = nn.Sequential(nn.Conv2d(3, 4, 1), InPlaceABN(4, activation="elu", activation_param=1.0))
    reseed(model).double()
    x = images(2, 3, 5, 5, dtype=torch.float64)
    torch.testing.assert_close(to_batchnorm(model)(x), model(x), rtol=1e-10, atol=1e-12)

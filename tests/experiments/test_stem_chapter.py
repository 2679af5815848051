"""What the chapter on the stem shows, checked against independent references."""

from itertools import islice

import nbformat
import pytest
import timm
import torch
import torch.nn.functional as F
from helpers import images, reseed
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from tresnet_lite import TResNet, ablation_ladder
from tresnet_lite.checkout import ROOT
from tresnet_lite.counting import count_macs, count_parameters, receptive_field, variants
from tresnet_lite.experiments import stems
from tresnet_lite.layers import DepthToSpace, SpaceToDepth
from tresnet_lite.records import Conditions, Record, Spread, collect


@settings(deadline=None, max_examples=25)
@given(
    block=st.integers(1, 5),
    in_channels=st.integers(1, 4),
    size=st.sampled_from([1, 3, 5]),
    rows=st.integers(1, 4),
    columns=st.integers(1, 4),
)
def test_space_to_depth_then_convolution_is_one_convolution(
    block, in_channels, size, rows, columns
):
    """For any block, kernel and image: equal up to the rounding of a sum in two orders."""
    conv = nn.Conv2d(
        in_channels * block**2, 5, size, padding=size // 2, bias=False, dtype=torch.float64
    )
    single = variants.single_convolution(conv, block)
    assert single.kernel_size == (size * block,) * 2 and single.stride == (block,) * 2
    x = images(2, in_channels, rows * block, columns * block, dtype=torch.float64)
    n, unit = single.weight[0].numel(), torch.finfo(torch.float64).eps / 2
    magnitude = F.conv2d(x.abs(), single.weight.abs(), stride=single.stride, padding=single.padding)
    difference = (conv(SpaceToDepth(block)(x)) - single(x)).abs()
    assert (difference <= 2 * n * unit / (1 - n * unit) * magnitude).all()


def test_the_stem_is_one_convolution_of_12_pixels():
    stem = variants.stems()["space_to_depth"]
    single = variants.single_convolution(stem[1].conv)
    assert (single.kernel_size, single.stride, single.padding) == ((12, 12), (4, 4), (4, 4))
    assert (
        count_macs(single) == count_macs(stem)
        and single.weight.numel() == stem[1].conv.weight.numel()
    )


def test_the_first_two_networks_are_the_rungs_of_table_4():
    networks = variants.stem_networks()
    for name, config in zip(
        ("conv7x7", "space_to_depth"), islice(ablation_ladder().values(), 2), strict=True
    ):
        rung = TResNet(config)
        rung.load_state_dict(networks[name].state_dict(), strict=True)
        x = images(1, 3, 64, 64)
        assert torch.equal(rung.eval()(x), networks[name].eval()(x))


@pytest.mark.parametrize(
    ("name", "reference"), [("conv7x7", "resnet50"), ("resnet_d", "resnet50d")]
)
def test_the_resnet_stems_are_timms(name, reference):
    """timm's weights, in their order, give timm's output."""
    theirs = reseed(timm.create_model(reference)).double().eval()
    theirs = nn.Sequential(theirs.conv1, theirs.bn1, theirs.act1, theirs.maxpool)
    ours = variants.stems()[name].double().eval()
    tensors = list(theirs.state_dict().values())
    ours.load_state_dict(dict(zip(ours.state_dict(), tensors, strict=True)), strict=True)
    x = images(2, 3, 64, 96, dtype=torch.float64)
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-12, atol=1e-12)


def test_resnet50_with_the_deep_stem_alone_is_timms_resnet50c():
    with torch.device("meta"):
        assert count_parameters(variants.stem_networks()["resnet_d"]) == count_parameters(
            timm.create_model("resnet50c")
        )


def test_the_whole_resnet50_d_is_timms():
    """As many parameters and MACs as timm's, whose weights, in their order, give its output."""
    ours = variants.resnet50_d().double().eval()
    theirs = reseed(timm.create_model("resnet50d")).double().eval()
    assert count_parameters(ours) == count_parameters(theirs)
    assert count_macs(ours, (3, 64, 64)) == count_macs(theirs, (3, 64, 64))
    pools = [m for m in ours.modules() if isinstance(m, nn.AvgPool2d)]
    assert len(pools) == 3


def test_the_table_of_sizes():
    """MACs as PyTorch's own counter has them; window and stride from the layers, cross-checked with
    the kernel.
    """
    table = stems.stem_sizes(image_size=64).set_index("stem")
    for name, stem in variants.stems().items():
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            output = stem.eval()(torch.zeros(1, 3, 64, 64))
        row = table.loc[stems.STEM_LABELS[name]]
        assert row.macs_m * 1e6 == counter.get_total_flops() / 2
        assert row.stride == 4 and output.shape == (1, 64, 16, 16)
    for name in ("space_to_depth", "space_to_depth_1x1"):
        conv = variants.stems()[name][1].conv
        assert (
            table.loc[stems.STEM_LABELS[name]].window
            == variants.single_convolution(conv).kernel_size[0]
        )


@pytest.mark.parametrize("name", ["conv7x7", "resnet_d", "space_to_depth", "space_to_depth_1x1"])
def test_an_output_sees_its_window_and_no_more(name):
    """Change the pixels of one column after the other, and see which changes reach one output."""
    stem = reseed(variants.stems()[name]).double().eval()
    x = images(1, 3, 64, 64, dtype=torch.float64)
    with torch.no_grad():
        before = stem(x)[0, :, 8, 8]
        seen = []
        for column in range(64):
            changed = x.clone()
            changed[..., column] += 10  # a whole column, so that max pooling cannot miss it
            if not torch.equal(stem(changed)[0, :, 8, 8], before):
                seen.append(column)
    assert seen[-1] - seen[0] + 1 == receptive_field(stem).size


def test_as_printed_the_stem_loses_nothing():
    """48 independent columns of 64: the image comes back from what the 1×1 convolution gives."""
    conv = nn.Conv2d(48, 64, 1, bias=False, dtype=torch.float64)
    matrix = conv.weight.detach()[:, :, 0, 0]
    assert torch.linalg.matrix_rank(matrix) == 48
    x = images(1, 3, 16, 16, dtype=torch.float64)
    unmixed = torch.einsum("ck,bkhw->bchw", torch.linalg.pinv(matrix), conv(SpaceToDepth(4)(x)))
    tolerance = 48 * 64 * torch.finfo(torch.float64).eps * torch.linalg.cond(matrix).item()
    torch.testing.assert_close(DepthToSpace(4)(unmixed), x, rtol=0, atol=tolerance)


def record(model: str, speed: float, case: str = "resnet50") -> Record:
    value = Spread(speed, speed * 0.9, speed * 1.2, 5)
    return Record(
        "stem", case, model, "training", "throughput", value, Conditions(2, 64), collect()
    )


def test_speeds_stand_beside_the_papers():
    records = [record("conv7x7", 40.0), record("resnet50_d", 30.0)]
    row = stems.IN_RESNET50.speeds(records).set_index("model").loc["resnet50_d"]
    # both in this process, and in no other
    assert (row["name"], row.processes) == ("ResNet50-D, whole", 1)
    ends = (row.ratio, row.ratio_low, row.ratio_high)
    assert ends == pytest.approx((0.75, 0.75 / 1.35, 0.75 * 1.35))
    without = stems.IN_RESNET50.every_run([])
    printed = without.query("model == 'resnet50_d' and phase == 'training'").iloc[0]
    assert (row.paper, row.paper_ratio) == (printed.paper, printed.paper_ratio)


def test_the_paper_has_no_figure_for_a_stem_alone():
    table = stems.ALONE.speeds(
        [record("conv7x7", 40.0, "alone"), record("space_to_depth_1x1", 80.0, "alone")]
    )
    assert table["ratio"].tolist() == pytest.approx([1.0, 2.0]) and table[
        ["paper", "paper_ratio"]
    ].isna().all(axis=None)


@pytest.fixture(scope="module")
def chapter():
    return nbformat.read(ROOT / "notebooks" / "01_stem.ipynb", as_version=4)


def source(chapter, cell: str) -> str:
    return next(c.source for c in chapter.cells if c.id == cell)


def test_the_chapter_takes_its_parameters_as_they_stand(chapter):
    """papermill injects after this cell, so it derives nothing; as committed it is the smoke
    profile.
    """
    values: dict = {}
    exec(source(chapter, "parameters"), values)
    del values["__builtins__"]
    names = ("image_size", "batch", "repeats")
    assert values == {"profile": "smoke", "device": "auto"} | dict.fromkeys(names)

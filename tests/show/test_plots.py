"""Figures: well-formed, described, legible on light, dark and small pages, and drawn from what they
show.
"""

import math
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pandas as pd
import pytest
import torch
from legible import check_colours, check_letters
from torch import nn

from tresnet_lite import create_model
from tresnet_lite.counting import count_macs, variants
from tresnet_lite.layers import SpaceToDepth
from tresnet_lite.show import figures, inplace_abn, plots, style
from tresnet_lite.show.marks import name_points, powers_of_ten
from tresnet_lite.show.network import chains, layers, network_map, network_parts, permutation

ROOT = Path(__file__).resolve().parent.parent.parent


def speeds(paper: float) -> pd.DataFrame:
    row = {
        "phase": "inference",
        "ratio_low": 0.9,
        "ratio_high": 1.1,
        "ratio": 1.0,
        "paper_ratio": paper,
    }
    return pd.DataFrame(
        [
            row | {"name": "A"},
            row | {"name": "B", "ratio": 1.2, "ratio_high": 1.3, "phase": "training"},
        ]
    )


def test_names_of_points_cover_neither_each_other_nor_a_point():
    """A crowd of six: every name stands once, and no two boxes overlap."""
    figure, axes = plots.chart(4.6)
    x, y = [1, 1.1, 1.2, 1.25, 1.1, 3], [1, 1.02, 1.0, 1.06, 1.1, 1]
    axes.set(xlim=(0, 4), ylim=(0.8, 1.3))
    axes.plot(x, y, "o", markersize=7)
    names = ["M", "M 448", "L", "XL 448", "B3", "B7"]
    name_points(axes, names, x, y, size=9.6)
    assert [text.get_text() for text in axes.texts] == names
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in axes.texts]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def draw_all() -> dict:
    image = torch.arange(64.0).reshape(8, 8)
    with torch.device("meta"):
        network, all_stems = create_model("tresnet_m"), variants.stems()
    return {
        "chains": chains(
            {"one": all_stems["conv7x7"], "two": all_stems["space_to_depth"]}, (3, 64, 64)
        ),
        "permutation": permutation(image, SpaceToDepth(4)(image[None, None])[0]),
        "pictures": plots.pictures(
            [
                ("colour", torch.rand(4, 4, 3)),
                ("map", torch.randn(4, 4)),
                ("map", torch.randn(4, 4)),
            ],
            columns=2,
            description="three pictures",
        ),
        "ratios": plots.ratios(speeds(1.04), base="A"),
        "network_map": network_map(network, {"stem", "stage 3"}),
    }


@pytest.fixture(scope="module")
def drawings():
    return draw_all()


KINDS = ("chains", "permutation", "pictures", "ratios", "network_map")


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_well_formed_described_and_shrinks_with_the_page(drawings, kind):
    drawing = drawings[kind]
    root = ElementTree.fromstring(drawing.html)
    assert root.tag.endswith("svg") and root.get("role") == "img"
    assert root.get("aria-label") == drawing.text == repr(drawing) and drawing.text
    assert root.get("width") is None and "min(100%" in root.get("style") and root.get("viewBox")


@pytest.mark.parametrize("kind", KINDS)
def test_it_reads_on_any_page(drawings, kind):
    check_colours(drawings[kind].html)
    check_letters(drawings[kind].html)


def test_ids_do_not_clash_on_a_page(drawings):
    """Two figures may share an id only where it names the same thing: ids are digests of what they
    hold.
    """
    parts = {}
    for drawing in drawings.values():
        for element in ElementTree.fromstring(drawing.html).iter():
            if "id" in element.attrib:
                assert parts.setdefault(
                    element.get("id"), ElementTree.tostring(element)
                ) == ElementTree.tostring(element)
    assert parts


def test_a_drawing_is_the_same_each_time(drawings):
    again = draw_all()
    # those hold noise
    assert all(drawings[kind].html == again[kind].html for kind in KINDS if kind != "pictures")


@pytest.mark.parametrize("draw", [figures.how_above, inplace_abn.what_is_kept])
def test_a_drawing_names_the_place_of_its_own_code_not_its_helpers(draw):
    path, line = re.search(r'data-code="(\S+)#L(\d+)"', draw().html).groups()
    lines = (ROOT / path).read_text(encoding="utf-8").splitlines()
    assert lines[int(line) - 1] == "@drawing"
    assert lines[int(line)].startswith(f"def {draw.__name__}(")


def luminance(colour: str) -> float:
    """WCAG 2's relative luminance of "#rrggbb"."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("page", ["#ffffff", "#121212"])
@pytest.mark.parametrize("mark", [style.BLUE, style.VERMILLION, style.GREEN])
def test_marks_stand_out_on_light_and_dark_pages(mark, page):
    low, high = sorted((luminance(mark), luminance(page)))
    assert (high + 0.05) / (low + 0.05) >= 3  # WCAG 2.1, 1.4.11, for graphics


def test_pictures_are_all_there(drawings):
    root = ElementTree.fromstring(drawings["pictures"].html)
    assert sum(element.tag.endswith("}image") for element in root.iter()) == 3


def test_the_paper_is_in_the_legend_only_where_it_prints_a_number(drawings):
    assert ">paper<" in drawings["ratios"].html and "(paper 1.04)" in drawings["ratios"].text
    without = plots.ratios(speeds(math.nan), base="A")
    assert ">paper<" not in without.html and "paper" not in without.text


def test_layers_are_read_off_the_model_and_leave_it_as_it_was():
    model = nn.Sequential(
        nn.Conv2d(3, 8, 5, stride=2, padding=2), nn.ReLU(), nn.Sequential(nn.MaxPool2d(2))
    ).train()
    assert layers(model, (3, 32, 32)) == [
        ("conv 5×5 /2", "8×16×16"),
        ("pool 2×2 /2", "8×8×8"),
    ]
    assert model.training and not any(m._forward_hooks for m in model.modules())


def test_the_map_marks_the_parts_that_were_named(drawings):
    assert drawings["network_map"].text.count("(marked)") == 2
    assert drawings["network_map"].html.count(f"stroke: {style.VERMILLION.lower()}") == 2


def test_the_map_adds_up_to_the_network():
    with torch.device("meta"):
        network = create_model("tresnet_m")
    parts = network_parts(network, 224)
    blocks = {name: what for name, what, _ in parts if name.startswith("stage")}
    assert blocks["stage 3"] == "11 × Bottleneck + SE" and blocks["stage 4"] == "3 × Bottleneck"
    macs = sum(float(re.search(r"([\d.]+) G MACs", sizes)[1]) for _, _, sizes in parts)
    # each is rounded to 0.01
    assert macs == pytest.approx(count_macs(network) / 1e9, abs=0.005 * len(parts))


def test_a_part_that_is_not_there_is_refused():
    with torch.device("meta"):
        network = create_model("tresnet_m")
    with pytest.raises(ValueError, match="no part stage 5: there are stem, stage 1"):
        network_map(network, {"stage 5"})


def test_powers_of_ten_are_letters_and_no_tex():
    @plots.drawing
    def errors():
        figure, axes = plots.chart(3)
        axes.loglog([1e-4, 1], [1e-8, 30])
        powers_of_ten(axes.xaxis)
        powers_of_ten(axes.yaxis)
        return figure, "Errors."

    labels = set(re.findall(r">(10[^<]+)<", errors().html))
    assert {"10⁻⁴", "10⁰", "10⁻⁸"} <= labels and "mathdefault" not in errors().html

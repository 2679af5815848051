"""The drawing of what TResNet changes: to scale, marked where the models differ, linked."""

import re
import xml.etree.ElementTree as ElementTree

import pytest

from tresnet_lite.book import design
from tresnet_lite.book.chapters import chapter
from tresnet_lite.checkout import ROOT
from tresnet_lite.model import variant

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def svg():
    return ElementTree.fromstring(design.drawing())


def bars(svg, *, left: bool) -> list[float]:
    """Lengths of ResNet50's bars, on the left, or of TResNet-M's, from the top down."""
    found = [rect for rect in svg.iter(f"{SVG}rect") if "bar" in rect.get("class")]
    side = [rect for rect in found if (float(rect.get("x")) < design.MIDDLE) is left]
    return [float(rect.get("width")) for rect in sorted(side, key=lambda r: float(r.get("y")))]


def labels(svg) -> list[str]:
    return [link.get("aria-label") for link in svg.iter(f"{SVG}a")]


def test_bars_are_to_scale(svg):
    """By hand: ResNet50's stages give 256 channels of 56×56 pixels, then twice as many of a quarter
    of the pixels. TResNet's BasicBlocks give a quarter of the channels.
    """
    halves = [design.LONGEST / 2**stage for stage in range(4)]
    depths = variant("resnet50").depths
    blocks = [length for length, depth in zip(halves, depths, strict=True) for _ in range(depth)]
    # the stem's convolution gives 64×112×112, its pool a quarter
    assert bars(svg, left=True) == pytest.approx([halves[0], halves[2], *blocks], abs=0.06)
    ours = [halves[0] / 4, halves[1] / 4, halves[2], halves[3]]
    depths = variant("tresnet_m").depths
    blocks = [length for length, depth in zip(ours, depths, strict=True) for _ in range(depth)]
    # 48×56×56 pixels in channels, then 64×56×56
    stem = [halves[2] * 48 / 64, halves[2]]
    assert bars(svg, left=False) == pytest.approx([*stem, *blocks], abs=0.06)


def test_basic_blocks_are_told_apart(svg):
    basic = [rect for rect in svg.iter(f"{SVG}rect") if rect.get("class") == "bar basic"]
    assert len(basic) == sum(variant("tresnet_m").depths[:2])
    assert all(float(rect.get("x")) > design.MIDDLE for rect in basic)


def test_each_refinement_is_marked_where_it_acts(svg):
    places = [label.partition(". Chapter")[0] for label in labels(svg)]
    assert places == [
        "SpaceToDepth, conv 3×3, in stem",
        "3 × BasicBlock, in stage 1",
        "SE, in stage 1",
        "4 × BasicBlock, in stage 2",
        "blur, in stage 2",
        "SE, in stage 2",
        "11 × Bottleneck, in stage 3",
        "blur, in stage 3",
        "SE, in stage 3",
        "blur, in stage 4",
        "Inplace-ABN throughout, in all parts",
        "fast average pool, in the head",
    ]


def test_each_mark_leads_into_its_chapter(svg):
    links = [link.get("href") for link in svg.iter(f"{SVG}a")]
    assert set(links) == {chapter(number).page for number in range(1, 7)}
    assert all((ROOT / "book" / link).with_suffix(".ipynb").resolve().exists() for link in links)


def test_nothing_leaves_the_drawing_or_covers_a_neighbour(svg):
    frames = [rect for rect in svg.iter(f"{SVG}rect") if rect.get("class") == "button"]
    boxes = [[float(rect.get(name)) for name in ("x", "y", "width", "height")] for rect in frames]
    height = float(svg.get("viewBox").split()[3])
    assert all(x >= design.MIDDLE and x + w <= design.WIDTH for x, _, w, _ in boxes)
    assert all(y + h <= height for _, y, _, h in boxes)
    for i, (x, y, w, h) in enumerate(boxes):
        for left, top, width, tall in boxes[:i]:
            assert x >= left + width or left >= x + w or y >= top + tall or top >= y + h


def test_the_figure_is_described_and_its_caption_says_the_scale(svg):
    figure = design.what_changes([])
    assert 'id="fig-0-2"' in figure and "book/design.py" in figure
    caption = figure.partition("<figcaption>")[2]
    assert "channels × height × width" in caption and "stage" not in caption
    words = svg.get("aria-label")
    assert "stage 1: 3 × Bottleneck, 256×56×56 → 3 × BasicBlock, 64×56×56, with SE" in words
    assert "stage 4: 3 × Bottleneck, 2048×7×7 → 3 × Bottleneck, 2048×7×7, with blur" in words


def test_a_picture_stands_alone():
    """Well-formed, without links, with the look of the page's drawing and one ink for each page."""
    pictures = {scheme: design.picture(scheme) for scheme in design.INKS}
    for scheme, picture in pictures.items():
        svg = ElementTree.fromstring(picture)
        assert svg.get("color") == design.INKS[scheme] and svg.get("role") == "img"
        assert [svg.get("width"), svg.get("height")] == svg.get("viewBox").split()[2:]
        assert not list(svg.iter(f"{SVG}a")) and "href" not in picture
        style = svg.find(f"{SVG}style").text
        assert "svg.map text {" in style and "svg.map .bar.other {" in style
        assert not re.search(r"svg\.map \{|@media", style)
    light, dark = (pictures[scheme].replace(design.INKS[scheme], "") for scheme in pictures)
    assert light == dark

"""What TResNet-M changes in ResNet50: both networks to one scale, each change a link.

The landing page shows the drawing with its links, the README a picture of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import prod
from string import Template

import torch
from torch import nn

from tresnet_lite.bench.where import stages
from tresnet_lite.book.figures import numbered_figure
from tresnet_lite.book.network_map import SUBJECTS, WIDTH, button, button_width
from tresnet_lite.checkout import ROOT
from tresnet_lite.counting import count_macs, count_parameters
from tresnet_lite.counting.shapes import shape_of
from tresnet_lite.counting.trace import trace
from tresnet_lite.findings.tables import PAPER_SIDE
from tresnet_lite.layers import (
    BlurPool2d,
    FastGlobalAvgPool2d,
    InPlaceABN,
    SpaceToDepth,
    SqueezeExcite,
)
from tresnet_lite.model import BasicBlock, Bottleneck, TResNet, create_model
from tresnet_lite.paper import NAMES
from tresnet_lite.records import Record
from tresnet_lite.show.network import SHAPERS, layer_name
from tresnet_lite.show.text import as_html

BASE, MODEL = "resnet50", "tresnet_m"
BLOCKS = (BasicBlock, Bottleneck)
INSIDE = (BlurPool2d, SqueezeExcite)  # layers inside of blocks that ResNet50's have not
# Of the drawing: where TResNet begins, the longest bar, from bar to bar
MIDDLE, LONGEST, PITCH = 190.0, 100.0, 8.0
# above the first part, of a line with a button, of the smallest part's bars, between two parts
TOP, LINE, LEAST, GAP = 40.0, 32.0, 30.0, 8.0
CAPTION = (
    f"What {NAMES[MODEL]} changes in {NAMES[BASE]} (framed): each bar is a block, or a layer of the"
    " stem, its length the size of its output (channels × height × width); BasicBlocks are blue."
)
DRAWING = Template("""\
<svg xmlns="http://www.w3.org/2000/svg" class="map" viewBox="0 0 $width $height" role="group"\
 aria-label="$description" data-code="tresnet_lite/book/design.py">
$content
</svg>""")
INKS = {"light": "#1f2328", "dark": "#e6edf3"}  # of the README's pictures


@dataclass(frozen=True)
class Bar:
    """A layer of the stem, or a block: what it is, and the shape (C, H, W) of what it gives."""

    what: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Part:
    """The stem or a stage, and the types of all modules in it."""

    name: str
    bars: tuple[Bar, ...]
    kinds: frozenset[type[nn.Module]]

    @property
    def content(self) -> str:
        """ "3 × Bottleneck" for a stage, the layers for the stem."""
        names = [bar.what for bar in self.bars]
        alike = len(set(names)) == 1
        return f"{len(names)} × {names[0]}" if alike else ", ".join(names)

    @property
    def shape(self) -> str:
        """Of what the part gives."""
        return shape_of(self.bars[-1].shape)


def network(name: str) -> TResNet:
    """One of the two networks, on the meta device."""
    with torch.device("meta"):
        return create_model(name)


def parts(network: TResNet) -> list[Part]:
    """The stem and the stages, with what they give for an image of the paper's size."""
    shape: tuple[int, ...] = (network.in_chans, PAPER_SIDE, PAPER_SIDE)
    rows = []
    for stage, module in stages(network).items():
        if stage == "head":
            break  # no maps
        calls = trace(module, shape)
        shape = calls[-1].output
        shown = SHAPERS if stage == "stem" else BLOCKS
        bars = tuple(Bar(_what(c.module), c.output) for c in calls if isinstance(c.module, shown))
        kinds = frozenset(type(layer) for layer in module.modules())
        rows.append(Part(stage.replace("layer", "stage "), bars, kinds))
    return rows


def _what(module: nn.Module) -> str:
    return type(module).__name__ if isinstance(module, BLOCKS) else layer_name(module)


def pairs() -> list[tuple[Part, Part]]:
    """Each part of ResNet50 with the part of TResNet-M in its place."""
    base, ours = (parts(network(name)) for name in (BASE, MODEL))
    return list(zip(base, ours, strict=True))


def what_changes(records: Iterable[Record] = ()) -> str:
    """The drawing as a figure of the book; it needs no records."""
    return numbered_figure(drawing(), "0.2")


def drawing() -> str:
    """Both networks side by side, as SVG."""
    rows = pairs()
    sizes = [prod(bar.shape) for row in rows for part in row for bar in part.bars]
    scale, top = LONGEST / max(sizes), TOP
    lines = [*_title(BASE, 4), *_title(MODEL, MIDDLE + 4)]
    for base, ours in rows:
        lines += _row(base, ours, top, scale)
        top += LINE + _height(base, ours) + GAP
    lines += _throughout(TOP, top)
    lines += _head(top + LINE + GAP)
    height = f"{top + 2 * (LINE + GAP):g}"
    words, content = as_html(description(rows)), "\n".join(lines)
    return DRAWING.substitute(width=WIDTH, height=height, description=words, content=content)


def description(rows: Iterable[tuple[Part, Part]]) -> str:
    """The caption, then the drawing in words."""
    clauses = []
    for base, ours in rows:
        words = [f"{part.content}, {part.shape}" for part in (base, ours)]
        added = [SUBJECTS[kind][0] for kind in _added(base, ours)]
        more = f", with {' and '.join(added)}" if added else ""
        clauses.append(f"{base.name}: {' → '.join(words)}{more}")
    return f"{CAPTION} {'; '.join(clauses)}; throughout: BatchNorm, ReLU → Inplace-ABN."


def _added(base: Part, ours: Part) -> list[type[nn.Module]]:
    return [kind for kind in INSIDE if kind in ours.kinds - base.kinds]


def _height(base: Part, ours: Part) -> float:
    """Of the bars of two parts."""
    return max(LEAST, PITCH * max(len(base.bars), len(ours.bars)))


def _title(name: str, left: float) -> Iterator[str]:
    """A network's name, and its sizes."""
    model = network(name)
    macs, parameters = count_macs(model) / 1e9, count_parameters(model) / 1e6
    right = f'x="{left + 180:g}" y="14" text-anchor="end"'
    yield f'<text class="name" x="{left:g}" y="14">{NAMES[name]}</text>'
    yield f'<text class="small" {right}>{macs:.1f} G MACs</text>'
    yield f'<text class="small" x="{left:g}" y="31">{parameters:.1f} M parameters</text>'


def _row(base: Part, ours: Part, top: float, scale: float) -> Iterator[str]:
    """What a part is in both networks, and below it the bars: ResNet50's left, TResNet's right."""
    subject = SpaceToDepth if base.name == "stem" else BasicBlock
    yield f'<text class="small" x="4" y="{top + 19:g}">{base.content}</text>'
    if ours.content == base.content:
        yield f'<text class="small" x="{MIDDLE + 4:g}" y="{top + 19:g}">{ours.content}</text>'
    else:
        yield from button(ours.content, SUBJECTS[subject][1], MIDDLE + 4, top, base.name)
    top += LINE
    yield f'<text class="small name" x="4" y="{top + 11:g}">{base.name}</text>'
    yield f'<text class="small" x="4" y="{top + 26:g}">{base.shape}</text>'
    yield f'<text class="small" x="{MIDDLE + 36:g}" y="{top + 18:g}">{ours.shape}</text>'
    yield from _bars(base, top, scale, end=MIDDLE - 3)
    yield from _bars(ours, top, scale, start=MIDDLE + 4)
    marks = [SUBJECTS[kind] for kind in _added(base, ours)]
    left = WIDTH - 4 - sum(button_width(name) + 5 for name, _ in marks)
    for name, number in marks:
        yield from button(name, number, left, top, base.name)
        left += button_width(name) + 5


def _bars(
    part: Part, top: float, scale: float, *, start: float | None = None, end: float = 0
) -> Iterator[str]:
    """A part's bars from `start` to the right, or without it from `end` to the left."""
    for row, bar in enumerate(part.bars):
        length = prod(bar.shape) * scale
        left = end - length if start is None else start
        kind = "basic" if bar.what == BasicBlock.__name__ else "other"
        place = f'x="{left:.1f}" y="{top + PITCH * row:g}" width="{length:.1f}"'
        yield f'<rect class="bar {kind}" {place} height="{PITCH - 2:g}"/>'


def _throughout(first: float, top: float) -> Iterator[str]:
    """Norm and activation, which all parts hold: a bracket around these, and the change below."""
    name, number = SUBJECTS[InPlaceABN]
    text, edge = f"{name} throughout", WIDTH - 4
    right = MIDDLE + 4 + button_width(text)
    yield f'<path class="arrow" d="M{edge - 5:g} {first:g}h5V{top + 14:g}H{right:g}"/>'
    yield f'<text class="small" x="4" y="{top + 19:g}">BatchNorm, ReLU</text>'
    yield from button(text, number, MIDDLE + 4, top, "all parts")


def _head(top: float) -> Iterator[str]:
    """The head, where one of the code optimizations is."""
    name, number = SUBJECTS[FastGlobalAvgPool2d]
    yield f'<text class="small" x="4" y="{top + 19:g}">{name}, linear</text>'
    yield from button(f"fast {name}", number, MIDDLE + 4, top, "the head")


def picture(scheme: str) -> str:
    """The drawing as a file of its own, without links, for pages that are "light" or "dark"."""
    rules = (ROOT / "book" / "static" / "custom.css").read_text(encoding="utf-8")
    style = "\n".join(re.findall(r"^svg\.map [^{\s][^{]*\{[^}]*\}", rules, re.MULTILINE))
    svg = re.sub(r"</?a\b[^>]*>|\n(?=\n)", "", drawing())
    size = re.search(r'viewBox="0 0 (\S+) (\S+)" role="group"', svg)
    own = f'width="{size[1]}" height="{size[2]}" color="{INKS[scheme]}" font-family="sans-serif"'
    svg = svg.replace('role="group"', f'role="img" {own}', 1)
    svg = re.sub(r' data-code="[^"]*">', f">\n<style>\n{style}\n</style>", svg, count=1)
    return f"{svg}\n"

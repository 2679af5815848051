"""The map of the book: TResNet-M from image to classes, each part a link to its chapter."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from string import Template

import torch
from torch import nn

from tresnet_lite.bench.where import stages
from tresnet_lite.book.chapters import chapter, source_link
from tresnet_lite.book.measured_speeds import best_first
from tresnet_lite.findings.tables import PAPER_SIDE
from tresnet_lite.layers import (
    BlurPool2d,
    FastGlobalAvgPool2d,
    InPlaceABN,
    SpaceToDepth,
    SqueezeExcite,
)
from tresnet_lite.model import BasicBlock, Bottleneck, create_model
from tresnet_lite.records import Record
from tresnet_lite.show.network import network_parts
from tresnet_lite.show.text import as_html

MODEL = "tresnet_m"
# Layers that a chapter is about, in the order of the drawing: their name and the chapter's number.
SUBJECTS = {
    SpaceToDepth: ("SpaceToDepth", 1),
    BasicBlock: ("BasicBlock", 4),
    Bottleneck: ("Bottleneck", 4),
    SqueezeExcite: ("SE", 5),
    BlurPool2d: ("blur", 2),
    InPlaceABN: ("Inplace-ABN", 3),
    FastGlobalAvgPool2d: ("average pool", 6),
}
# of the drawing, of a part, from part to part, of the first part
WIDTH, HIGH, STEP, TOP = 400, 92, 112, 34
MAP = Template("""\
<figure class="drawing" id="fig-0-4">
<svg xmlns="http://www.w3.org/2000/svg" class="map" viewBox="0 0 $width $height" role="group"\
 aria-label="TResNet-M from image to classes; each part links to its chapter">
<text x="$middle" y="14" text-anchor="middle">image 3×$side×$side</text>
$boxes
</svg>
<figcaption><a href="#fig-0-4">Figure 0.4</a>. TResNet-M, read off the model: each part with the\
 shape it gives, its parameters and its multiply-accumulates. $time <a href="$code"\
 aria-label="The code that drew Figure 0.4">Code</a></figcaption>
</figure>""")


@dataclass(frozen=True)
class Part:
    """A part of the network.

    Attributes:
        content, sizes: what it holds; its output's shape, parameters and multiply-accumulates.
        subjects: layers that a chapter is about, with the chapter's number.
        shares: phase → the part of the network's time, 0 to 1.
    """

    name: str
    content: str
    sizes: str
    subjects: tuple[tuple[str, int], ...]
    shares: Mapping[str, float] = field(default_factory=dict)


def parts(records: Iterable[Record]) -> list[Part]:
    """The parts of TResNet-M, read off the model; their time from the best device's records."""
    with torch.device("meta"):
        network = create_model(MODEL)
    phases, rows = time_shares(records), []
    modules = stages(network).items()
    for (stage, module), texts in zip(modules, network_parts(network, PAPER_SIDE), strict=True):
        shares = {phase: of_stage[stage] for phase, of_stage in phases.items()}
        rows.append(Part(*texts, _subjects(module), shares))
    return rows


def _subjects(part: nn.Module) -> tuple[tuple[str, int], ...]:
    kinds = {type(layer) for layer in part.modules()}
    if SqueezeExcite in kinds:
        kinds -= {FastGlobalAvgPool2d}  # a step of SE, whose chapter says so
    return tuple(subject for kind, subject in SUBJECTS.items() if kind in kinds)


def time_records(records: Iterable[Record]) -> dict[tuple[str, str], Record]:
    """(phase, stage) → the record of its time alone, of the best run with all stages, if any."""
    with torch.device("meta"):
        names = list(stages(create_model(MODEL)))
    runs: dict[tuple, dict[tuple[str, str], Record]] = {}
    wanted = ("micro", "stages", MODEL, "time", PAPER_SIDE)
    for r in records:
        what = (r.suite, r.case, r.model, r.metric, r.conditions.resolution)
        if what == wanted and r.part in names:
            runs.setdefault((r.provenance.device, r.conditions), {})[r.phase, r.part] = r
    whole = [run for run in runs.values() if {s for _, s in run} == set(names)]
    return min(whole, key=lambda run: best_first(next(iter(run.values()))), default={})


def time_shares(records: Iterable[Record]) -> dict[str, dict[str, float]]:
    """phase → stage → its share of the stages' time; empty without records."""
    phases: dict[str, dict[str, float]] = {}
    for (phase, stage), record in time_records(records).items():
        phases.setdefault(phase, {})[stage] = record.value.median
    for phase, times in phases.items():
        total = sum(times.values())
        phases[phase] = {stage: time / total for stage, time in times.items()}
    return phases


def linked_map(records: Iterable[Record]) -> str:
    """The map as a figure of links, and where its shares of time come from."""
    records = list(records)
    boxes = [_box(part, TOP + STEP * i) for i, part in enumerate(parts(records))]
    return MAP.substitute(
        width=WIDTH,
        height=TOP + STEP * len(boxes),
        middle=WIDTH / 2,
        side=PAPER_SIDE,
        boxes="\n".join(boxes),
        time=_time(records),
        code=source_link("tresnet_lite/book/network_map.py"),
    )


def _time(records: Iterable[Record]) -> str:
    """What the bars are, and of which device."""
    record = next(iter(time_records(records).values()), None)
    if record:
        source = as_html(record.label)
        return f"The bars are shares of the time, each part timed alone: {source}."
    command = "<code>python -m tresnet_lite.bench run micro</code>"
    why = f"because there are no records at {PAPER_SIDE} px; {command} makes them"
    return f"Shares of the time: not attempted, {why}."


def _box(part: Part, top: float) -> str:
    """An arrow, the part's box, a link to its first chapter, and what stands in the box."""
    first = chapter(part.subjects[0][1])
    content, sizes = as_html(part.content), as_html(part.sizes)
    title = f"{part.name}: {content}. {sizes}. Chapter: {as_html(first.title)}"
    return "\n".join(
        [
            f'<path class="arrow" d="M{WIDTH / 2} {top - 16}v10m-4 -5l4 6l4 -6"/>',
            f'<a href="{first.page}" aria-label="{title}">',
            f'<rect class="part" x="4" y="{top}" width="{WIDTH - 8}" height="{HIGH}" rx="6"/>',
            f'<text class="name" x="14" y="{top + 20}">{part.name}</text>',
            f'<text x="{WIDTH - 14}" y="{top + 20}" text-anchor="end">{content}</text>',
            f'<text class="small" x="14" y="{top + 38}">{sizes}</text></a>',
            *_buttons(part, top),
            *_bars(part, top),
        ]
    )


def _buttons(part: Part, top: float) -> Iterator[str]:
    """A button for each chapter about the part's layers."""
    left = 14.0
    for name, number in part.subjects:
        yield from button(name, number, left, top + 50, part.name)
        left += button_width(name) + 6


def button(text: str, number: int, left: float, top: float, where: str) -> Iterator[str]:
    """A framed text that leads to the chapter of a number; `where` it stands, for who hears it."""
    width, about = button_width(text), chapter(number)
    title = f"{text}, in {where}. Chapter: {as_html(about.title)}"
    yield f'<a href="{about.page}" aria-label="{title}">'
    size = f'width="{width:g}" height="28" rx="6"'
    yield f'<rect class="button" x="{left:g}" y="{top:g}" {size}/>'
    place = f'x="{left + width / 2:g}" y="{top + 18:g}"'
    yield f'<text class="small" {place} text-anchor="middle">{text}</text></a>'


def button_width(text: str) -> float:
    return 7.2 * len(text) + 12


def _bars(part: Part, top: float) -> Iterator[str]:
    """Under the buttons, a bar for each phase with its share in numbers."""
    half, y = (WIDTH - 28) / 2, top + HIGH - 8
    for i, (phase, share) in enumerate(part.shares.items()):
        left, width = 14 + i * half, share * (half - 90)
        yield f'<rect class="bar" x="{left:g}" y="{y}" width="{width:.1f}" height="6"/>'
        text = f"{phase} {share:.0%}"
        yield f'<text class="tiny" x="{left + width + 4:.1f}" y="{y + 7}">{text}</text>'

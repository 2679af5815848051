"""The map of the book: TResNet-M from image to classes, every part a link to the chapter about
it.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import torch
from torch import nn

from tresnet_lite.bench.where import stages
from tresnet_lite.book.chapters import chapter, source_link
from tresnet_lite.book.landing import best_first
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

MODEL, SIDE = "tresnet_m", 224
# Layers that a chapter is about, in the order of the drawing: what it is called here, and the
# chapter's number.
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
WIDTH, HIGH, STEP, TOP = (
    400,
    92,
    112,
    34,
)


@dataclass(frozen=True)
class Part:
    """A part of the network: what it holds, its sizes, the chapters about its layers, and its share
    of the time.
    """

    name: str
    content: str
    sizes: str
    subjects: tuple[tuple[str, int], ...]
    shares: Mapping[str, float] = field(default_factory=dict)  # phase → 0 to 1


def parts(records: Iterable[Record]) -> list[Part]:
    """The parts of TResNet-M, read off the model; shares of the time from the records of the best
    device.
    """

    with torch.device("meta"):
        network = create_model(MODEL)
    shares, found = time_shares(records), stages(network)
    rows = zip(found.items(), network_parts(network, SIDE), strict=True)
    return [
        Part(
            name,
            content,
            sizes,
            _subjects(module),
            {phase: of[stage] for phase, of in shares.items()},
        )
        for (stage, module), (name, content, sizes) in rows
    ]


def _subjects(part: nn.Module) -> tuple[tuple[str, int], ...]:
    kinds = {type(layer) for layer in part.modules()}
    if SqueezeExcite in kinds:
        kinds -= {FastGlobalAvgPool2d}  # a step of SE, and told there
    return tuple(subject for kind, subject in SUBJECTS.items() if kind in kinds)


def time_records(records: Iterable[Record]) -> dict[tuple[str, str], Record]:
    """(phase, stage) → the record of the stage's time alone, of the best run that has all stages;
    empty without one.
    """
    with torch.device("meta"):
        names = list(stages(create_model(MODEL)))
    runs: dict[tuple, dict[tuple[str, str], Record]] = {}
    for r in records:
        what = (r.suite, r.case, r.model, r.metric, r.conditions.resolution)
        if what == ("micro", "stages", MODEL, "time", SIDE) and r.part in names:
            runs.setdefault((r.provenance.device, r.conditions), {})[r.phase, r.part] = r
    whole = [run for run in runs.values() if {s for _, s in run} == set(names)]
    return min(whole, key=lambda run: best_first(next(iter(run.values()))), default={})


def time_shares(records: Iterable[Record]) -> dict[str, dict[str, float]]:
    """phase → stage → its share of the stages' time; empty without records."""
    found, shares = time_records(records), {}
    for phase in dict.fromkeys(phase for phase, _ in found):
        times = {stage: r.value.median for (p, stage), r in found.items() if p == phase}
        shares[phase] = {stage: time / sum(times.values()) for stage, time in times.items()}
    return shares


def network_map(records: Iterable[Record]) -> str:
    """The map as a figure of links, and where its shares of time come from."""
    records = list(records)
    drawn = parts(records)
    height = TOP + STEP * len(drawn)
    body = "\n".join(_part(part, TOP + STEP * i) for i, part in enumerate(drawn))
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="map" viewBox="0 0 {WIDTH} {height}"'
        ' role="group" aria-label="TResNet-M from image to classes; each part links to its'
        f' chapter">\n<text x="{WIDTH / 2}" y="14" text-anchor="middle">image'
        f" 3×{SIDE}×{SIDE}</text>\n{body}\n</svg>"
    )
    code = source_link("tresnet_lite/book/network_map.py")
    caption = (
        '<a href="#fig-0-2">Figure 0.2</a>. TResNet-M, read off the model: each part with the'
        f" shape it gives, its parameters and its multiply-accumulates. {_timed(records)} <a"
        f' href="{code}" aria-label="The code that drew Figure 0.2">Code</a>'
    )
    return (
        '<figure class="drawing"'
        f' id="fig-0-2">\n{svg}\n<figcaption>{caption}</figcaption>\n</figure>'
    )


def _timed(records: Iterable[Record]) -> str:
    found = time_records(records)
    if not found:
        command = "<code>python -m tresnet_lite.bench run micro</code>"
        return (
            f"Shares of the time: not attempted, for want of records at {SIDE} px; {command} makes"
            " them."
        )
    first = next(iter(found.values()))
    return f"The bars are shares of the time, each part timed alone: {html.escape(first.label)}."


def _part(part: Part, top: float) -> str:
    """An arrow, the part's box, which leads to its first chapter, and a button for each chapter
    about its layers.
    """
    middle = WIDTH / 2
    arrow = f'<path class="arrow" d="M{middle} {top - 16}v10m-4 -5l4 6l4 -6"/>'
    first = chapter(part.subjects[0][1])
    title = html.escape(f"{part.name}: {part.content}. {part.sizes}. Chapter: {first.title}")
    texts = (
        f'<text class="name" x="14" y="{top + 20}">{part.name}</text><text x="{WIDTH - 14}"'
        f' y="{top + 20}" text-anchor="end">{html.escape(part.content)}</text><text class="small"'
        f' x="14" y="{top + 38}">{html.escape(part.sizes)}</text>'
    )
    box = f'<rect class="part" x="4" y="{top}" width="{WIDTH - 8}" height="{HIGH}" rx="6"/>'
    link = f'<a href="{first.page}" aria-label="{title}">{box}{texts}</a>'
    return f"{arrow}\n{link}\n{_buttons(part, top)}{_bars(part, top)}"


def _buttons(part: Part, top: float) -> str:
    left, drawn = 14.0, []
    for name, number in part.subjects:
        wide, found = 8.0 * len(name) + 14, chapter(number)
        drawn.append(
            f'<a href="{found.page}" aria-label="{name}, in {part.name}. Chapter:'
            f' {html.escape(found.title)}"><rect class="button" x="{left:g}" y="{top + 50}"'
            f' width="{wide:g}" height="28" rx="6"/><text class="small" x="{left + wide / 2:g}"'
            f' y="{top + 68}" text-anchor="middle">{name}</text></a>'
        )
        left += wide + 6
    return "\n".join(drawn)


def _bars(part: Part, top: float) -> str:
    """Under the buttons, a bar for each phase with its share in numbers."""
    drawn, half = [], (WIDTH - 28) / 2
    for i, (phase, share) in enumerate(part.shares.items()):
        left, y = 14 + i * half, top + HIGH - 8
        drawn.append(
            f'<rect class="bar" x="{left:g}" y="{y}" width="{share * (half - 90):.1f}"'
            f' height="6"/><text class="tiny" x="{left + share * (half - 90) + 4:.1f}"'
            f' y="{y + 7}">{phase} {share:.0%}</text>'
        )
    return "\n" + "\n".join(drawn) if drawn else ""

"""The claims ledger: what the paper asserts, judged by records or by counting.

`data/paper/claims.yaml` states each claim and names one of the checks below. A check returns a
verdict for each device that has the records it needs, "not attempted" with the reason where none
has, and one verdict where counting is enough. No verdict is typed anywhere.
"""

from __future__ import annotations

import importlib
import statistics
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch
from torch import nn

from tresnet_lite import __version__, create_model
from tresnet_lite.bench import Record, count_macs, count_parameters, latest, pair
from tresnet_lite.bench.memory import kept_for_backward, kept_per_image
from tresnet_lite.layers import BlurPool2d
from tresnet_lite.model import variant
from tresnet_lite.paper import DATA, NAMES, paper_table, paper_value
from tresnet_lite.specification import beside_table_2

if TYPE_CHECKING:
    import pandas as pd

KINDS = ("speed", "memory", "accuracy", "size")
REPRODUCED, DIFFERS, NOT_ATTEMPTED = "reproduced", "differs", "not attempted"
QUIET = 0.02  # quartiles this close, and two overlapping speeds are the same speed
COUNTED = f"counted (tresnet_lite {__version__})"


@dataclass(frozen=True)
class Verdict:
    """What a check found: the verdict in words, why, the paper's figure, ours and where ours comes
    from.
    """

    word: Literal["reproduced", "differs", "not attempted"]
    why: str
    paper: str = ""
    ours: str = ""
    label: str = ""


@dataclass(frozen=True)
class Claim:
    """An entry of claims.yaml; `check` is the name of one of `CHECKS` and its arguments."""

    id: str
    section: str
    kind: str
    sentence: str
    check: dict[str, object]

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(
                f"claim {self.id}: kind is {self.kind!r}, not one of {', '.join(KINDS)}"
            )
        if self.check.get("name") not in CHECKS:
            raise ValueError(
                f"claim {self.id}: no check {self.check.get('name')!r}; there are"
                f" {', '.join(CHECKS)}"
            )

    def verdicts(self, records: list[Record]) -> list[Verdict]:
        arguments = {name: value for name, value in self.check.items() if name != "name"}
        return CHECKS[self.check["name"]](records, **arguments)


def load_claims(path: Path = DATA / "paper" / "claims.yaml") -> list[Claim]:
    """The claims of a file, in its order.

    Raises:
        ValueError: an unknown kind or check, or an id used twice.
        TypeError: a field too many or too few.
    """
    import yaml

    loader = getattr(
        yaml, "CSafeLoader", yaml.SafeLoader
    )  # ten times faster, where yaml was built with it
    claims = [Claim(**entry) for entry in yaml.load(path.read_text(encoding="utf-8"), loader)]
    ids = [claim.id for claim in claims]
    if len(set(ids)) < len(ids):
        raise ValueError(f"{path}: ids used twice: {sorted({i for i in ids if ids.count(i) > 1})}")
    return claims


def ledger(records: Iterable[Record]) -> pd.DataFrame:
    """One row for each claim and each device that can judge it.

    Columns: id, section, kind, sentence, verdict, why, paper, ours, label.
    """
    import pandas as pd

    return pd.DataFrame(list(_rows(tuple(records))))


@lru_cache(
    maxsize=4
)  # several pages of the book ask for the same ledger, and counting takes seconds
def _rows(records: tuple[Record, ...]) -> tuple[dict[str, str], ...]:
    return tuple(
        {"id": claim.id, "section": claim.section, "kind": claim.kind, "sentence": claim.sentence}
        | {"verdict": v.word, "why": v.why, "paper": v.paper, "ours": v.ours, "label": v.label}
        for claim in load_claims()
        for v in claim.verdicts(list(records))
    )


def _judge(good: bool) -> Literal["reproduced", "differs"]:
    return REPRODUCED if good else DIFFERS


def _near(ours: float, paper: float, tolerance: float) -> tuple[bool, str]:
    """Do two figures agree to a relative tolerance? And the sentence that says so."""
    off = ours / paper - 1
    return abs(off) <= tolerance, f"{off:+.1%} from the paper's figure (tolerance {tolerance:.2%})"


def _pairs(
    records: list[Record], resolution: int, model: str, than: str, **where: str
) -> tuple[list[tuple[Record, Record]], list[Verdict]]:
    """The pairs at the claim's resolution, of whole networks, and what to answer where there are
    none.
    """
    pairs = pair(records, model, than, **where)
    good = [
        p
        for p in pairs
        if (p[0].conditions.resolution, p[0].conditions.width) == (resolution, None)
    ]
    if good:
        return good, []
    sizes = sorted({(p[0].conditions.resolution, p[0].conditions.width or 0) for p in pairs})
    ways = [f"{side} px" + (f" and width {width}" if width else "") for side, width in sizes]
    found = f"measured at {', '.join(ways)} only" if ways else "no records"
    return [], [
        Verdict(
            NOT_ATTEMPTED, f"{found}; needs {model} and {than}, {where['phase']} at {resolution} px"
        )
    ]


def _too_noisy(a: Record, b: Record, limit: float) -> Verdict | None:
    """The verdict on two records whose quartiles lie further apart than the difference that is to
    be told.
    """
    noise = max((v.q3 - v.q1) / v.median for v in (a.value, b.value))
    if noise <= limit:
        return None
    return Verdict(
        NOT_ATTEMPTED,
        f"too noisy to tell: quartiles {noise:.0%} apart, {limit:.0%} allowed",
        "",
        "",
        label(a),
    )


def faster(
    records: list[Record],
    *,
    suite: str,
    case: str,
    phase: str,
    model: str,
    than: str,
    resolution: int = 224,
) -> list[Verdict]:
    """Is `model` faster than `than`, by more than the spread of both?"""
    pairs, verdicts = _pairs(records, resolution, model, than, suite=suite, case=case, phase=phase)
    for a, b in pairs:
        ours = f"{a.value.median / b.value.median:.3f}×"
        if a.value.q1 > b.value.q3:
            why = "faster, by more than the spread of both"
        elif a.value.q3 < b.value.q1:
            why = "slower, by more than the spread of both"
        elif noisy := _too_noisy(a, b, QUIET):
            verdicts.append(noisy)
            continue
        else:
            why = "no difference beyond the spread of both"
        verdicts.append(Verdict(_judge(a.value.q1 > b.value.q3), why, "> 1×", ours, label(a)))
    return verdicts


def speed_ratio(
    records: list[Record],
    *,
    suite: str,
    case: str,
    phase: str,
    model: str,
    than: str,
    paper: dict[str, dict],
    tolerance: float,
    resolution: int = 224,
) -> list[Verdict]:
    """Is the speed of `model` over that of `than` the ratio of the paper's two figures?"""
    printed = paper_value(**paper["of"]) / paper_value(**paper["to"])
    pairs, verdicts = _pairs(records, resolution, model, than, suite=suite, case=case, phase=phase)
    for a, b in pairs:
        ratio = a.value.median / b.value.median
        if noisy := _too_noisy(a, b, tolerance):
            verdicts.append(noisy)
            continue
        good, why = _near(ratio, printed, tolerance)
        verdicts.append(Verdict(_judge(good), why, f"{printed:.3f}×", f"{ratio:.3f}×", label(a)))
    return verdicts


def parameters(
    records: list[Record], *, model: str, classifier: bool, paper: dict, tolerance: float
) -> list[Verdict]:
    """Has `model` the printed number of parameters, in millions, with or without its classifier?"""
    with torch.device("meta"):
        ours = count_parameters(create_model(model, num_classes=1000 if classifier else 0)) / 1e6
    return _size(ours, paper, tolerance, "M")


def macs(records: list[Record], *, model: str, paper: dict, tolerance: float) -> list[Verdict]:
    """Does `model` take the printed number of multiply-accumulates, in thousand millions, at 224
    px?
    """
    with torch.device("meta"):
        ours = count_macs(create_model(model)) / 1e9
    return _size(ours, paper, tolerance, "G")


def _size(ours: float, paper: dict, tolerance: float, unit: str) -> list[Verdict]:
    printed = paper_value(**paper)
    good, why = _near(ours, printed, tolerance)
    return [Verdict(_judge(good), why, f"{printed:g} {unit}", f"{ours:.3f} {unit}", COUNTED)]


def output_side(
    records: list[Record], *, model: str, layer: str, resolution: int, paper: dict
) -> list[Verdict]:
    """Has the output of `layer` the height and width that the paper prints?"""
    shapes: list[torch.Size] = []
    with torch.device("meta"), torch.no_grad():
        net = create_model(model).eval()
        net.get_submodule(layer).register_forward_hook(lambda *call: shapes.append(call[2].shape))
        net(torch.zeros(1, 3, resolution, resolution))
    printed, ours = paper_value(**paper), f"{shapes[0][2]}×{shapes[0][3]}"
    why = f"from an image of {resolution}×{resolution}"
    return [Verdict(_judge(ours == printed), why, printed, ours, COUNTED)]


def _timed_pairs(
    records: list[Record],
    resolution: int,
    model: str,
    than: str,
    *,
    suite: str,
    case: str,
    phase: str,
) -> tuple[dict[str, list[tuple[Record, Record]]], list[Verdict]]:
    """For each device the pairs of call times, one for each "case: place", batch and dtype;
    channels first.
    """
    found: dict[tuple, dict[str, Record]] = {}
    for r in latest(records):
        c, operation = r.conditions, r.case.partition(":")[0]
        if (r.suite, operation, r.phase, r.metric, c.memory_format) == (
            suite,
            case,
            phase,
            "time",
            "channels_first",
        ):
            way = (r.provenance.device, c.resolution, r.case, c.batch, c.dtype)
            found.setdefault(way, {})[r.model] = r
    pairs: dict[str, list[tuple[Record, Record]]] = {}
    for (device, size, *_), r in found.items():
        if size == resolution and model in r and than in r:
            pairs.setdefault(device, []).append((r[model], r[than]))
    sizes = sorted({size for _, size, *_ in found})
    had = f"measured for images of {', '.join(map(str, sizes))} px" if sizes else "no records"
    needs = f"needs {model} and {than}, {phase}, for images of {resolution} px"
    return pairs, [] if pairs else [Verdict(NOT_ATTEMPTED, f"{had}; {needs}")]


def call_quicker(
    records: list[Record],
    *,
    suite: str,
    case: str,
    phase: str,
    model: str,
    than: str,
    resolution: int = 224,
) -> list[Verdict]:
    """Does a call of `model` take less time than one of `than`, beyond the spread of both, at most
    places?
    """
    pairs, verdicts = _timed_pairs(
        records, resolution, model, than, suite=suite, case=case, phase=phase
    )
    for timed in pairs.values():
        ratios = [b.value.median / a.value.median for a, b in timed]
        quicker = sum(a.value.q3 < b.value.q1 for a, b in timed)
        slower = sum(a.value.q1 > b.value.q3 for a, b in timed)
        why = (
            f"quicker at {quicker} of {len(timed)} places, slower at {slower}, beyond the spread of"
            " both"
        )
        verdicts.append(
            Verdict(
                _judge(quicker > len(timed) / 2), why, "> 1×", _range(ratios), label(timed[0][0])
            )
        )
    return verdicts


def call_speedup(
    records: list[Record],
    *,
    suite: str,
    case: str,
    phase: str,
    model: str,
    than: str,
    factor: float,
    tolerance: float,
    best: bool = False,
    resolution: int = 224,
) -> list[Verdict]:
    """Is a call of `model` `factor` times as quick as one of `than`, in the median over places, or
    at the best one?
    """
    pairs, verdicts = _timed_pairs(
        records, resolution, model, than, suite=suite, case=case, phase=phase
    )
    for timed in pairs.values():
        ratios = [b.value.median / a.value.median for a, b in timed]
        told, ratio = ("best", max(ratios)) if best else ("median", statistics.median(ratios))
        good = ratio >= factor * (1 - tolerance)
        why = (
            f"{told} of {len(timed)} places {ratio:.2f}×, at least {factor * (1 - tolerance):.2f}×"
            " counts"
        )
        verdicts.append(
            Verdict(_judge(good), why, f"{factor:g}×", _range(ratios), label(timed[0][0]))
        )
    return verdicts


def _range(ratios: list[float]) -> str:
    return f"{min(ratios):.2f}–{max(ratios):.2f}×"


def runs_at_any_size(records: list[Record], *, suite: str, case: str, model: str) -> list[Verdict]:
    """Was `model`, made once, run on inputs of several sizes?"""
    runs = [
        r
        for r in latest(records)
        if (r.suite, r.case.partition(":")[0], r.model) == (suite, case, model)
    ]
    sizes = {(r.case, r.conditions.batch) for r in runs}
    if len(sizes) < 2:
        return [Verdict(NOT_ATTEMPTED, f"no records of {model} at two sizes")]
    why = "one function, made once, served all"
    return [Verdict(REPRODUCED, why, "any size", f"{len(sizes)} sizes", label(runs[0]))]


def keeps_fewer_maps(records: list[Record], *, operation: str) -> list[Verdict]:
    """Does training keep fewer feature maps when an operation of the chapter on §2.2 is done in
    place?
    """
    from tresnet_lite.chapters.code_optimizations import kept_table  # which needs this module

    row = kept_table().set_index("operation").loc[operation]
    out, into = row["kept out"], row["kept in"]
    why = f"a convolution and the operation keep {out:g} map(s) out of place, {into:g} in place"
    return [Verdict(_judge(into < out), why, "fewer", f"{out:g} → {into:g}", COUNTED)]


def table_2_cells(records: list[Record], *, model: str, layers: list[str]) -> list[Verdict]:
    """Does `model` agree with every cell that Table 2 prints for some of its layers?"""
    cells = beside_table_2(model).query("layer in @layers")
    other = cells.query("paper != ours")
    told = (f"{c.layer}: {c.column} {c.ours}, printed {c.paper}" for c in other.itertuples())
    why = "; ".join(told) or "every cell agrees"
    ours = f"{len(cells) - len(other)} of {len(cells)} cells"
    return [Verdict(_judge(other.empty), why, f"{len(cells)} cells", ours, COUNTED)]


def block_exceeds(records: list[Record], *, column: str, block: str, than: str) -> list[Verdict]:
    """Is a count of the chapter on block types larger for one type than for the other, at all four
    stages' shapes?
    """
    from tresnet_lite.chapters.block_selection import sizes  # which needs this module

    counts = sizes().pivot(index="stage", columns="block", values=column)
    ratios = counts[block] / counts[than]
    why = f"{column}, {block} over {than}, at the shapes of the four stages"
    ours = "–".join(dict.fromkeys(f"{ratio:.2f}" for ratio in (min(ratios), max(ratios))))
    return [Verdict(_judge(bool((ratios > 1).all())), why, "> 1×", f"{ours}×", COUNTED)]


def stages_deeper(
    records: list[Record], *, model: str, than: str, stages: list[int]
) -> list[Verdict]:
    """Do these stages, and no others, differ in depth between two variants?"""
    ours, theirs = variant(model).depths, variant(than).depths
    changed = [stage for stage, (a, b) in enumerate(zip(ours, theirs, strict=True), 1) if a != b]
    why = f"depths {ours} where {than} has {theirs}"
    said, found = (f"stage {', '.join(map(str, s))}" for s in (stages, changed))
    return [Verdict(_judge(changed == stages), why, said, found, COUNTED)]


def vary_only(records: list[Record], *, models: list[str], fields: list[str]) -> list[Verdict]:
    """Do the configurations of some variants differ in these fields and no others?"""
    configurations = [asdict(variant(model)) for model in models]
    differ = [
        key
        for key, value in configurations[0].items()
        if any(c[key] != value for c in configurations)
    ]
    why = f"configurations of {', '.join(models)} compared"
    return [
        Verdict(
            _judge(set(differ) == set(fields)), why, ", ".join(fields), ", ".join(differ), COUNTED
        )
    ]


def awaits_training(
    records: list[Record], *, networks: str, paper: dict[str, dict] | None = None
) -> list[Verdict]:
    """A claim about accuracy that no record can judge until the named networks have been
    trained.
    """
    printed = (
        f"{paper_value(**paper['of']) - paper_value(**paper['to']):+.1f} points" if paper else ""
    )
    return [Verdict(NOT_ATTEMPTED, f"needs {networks}, trained alike on ImageNet", printed)]


def se_stages(records: list[Record], *, model: str) -> list[Verdict]:
    """Has `model` squeeze-and-excitation in the stages whose block type Table 2 prints with "+SE",
    and no others?
    """
    table = paper_table(2)
    stages = table[(table["model"] == NAMES[model]) & table["layer"].str.startswith("Stage")]
    printed = [cell.endswith("+SE") for cell in stages["block_type"]]
    ours = list(variant(model).se)
    said, found = (
        ", ".join(str(i) for i, se in enumerate(which, 1) if se) for which in (printed, ours)
    )
    return [Verdict(_judge(ours == printed), "the stages with SE", said, found, COUNTED)]


def se_place(
    records: list[Record], *, block: str, after: str = "", before: str = ""
) -> list[Verdict]:
    """Does SE come right after, or right before, the named step when a block runs, norms and
    activations apart?
    """
    from tresnet_lite.bench.anatomy import block_steps
    from tresnet_lite.chapters.squeeze_excite import designs  # which needs this module

    steps = [
        step for step in block_steps(*designs()[block]) if step.startswith(("conv", "SE", "sum"))
    ]
    place = steps.index("SE")
    said, found = ("after", steps[place - 1]) if after else ("before", steps[place + 1])
    good = found == (after or before)
    return [
        Verdict(
            _judge(good),
            ", ".join(steps),
            f"{said} the {after or before}",
            f"{said} the {found}",
            COUNTED,
        )
    ]


def se_reduction(records: list[Record], *, block: str, factor: int) -> list[Verdict]:
    """Does SE squeeze its channels by this factor in TResNet-M's blocks of this type, as published
    code has them?
    """
    from tresnet_lite.chapters.squeeze_excite import reductions  # which needs this module

    rows = reductions().query("block == @block")
    why = "; ".join(
        f"stage {r.stage}: {r.channels} channels to {r.coded_channels}" for r in rows.itertuples()
    )
    ours = " and ".join(f"{r:g}" for r in rows["coded"])
    return [Verdict(_judge(bool((rows["coded"] == factor).all())), why, f"{factor}", ours, COUNTED)]


def blurs_for_strides(records: list[Record], *, model: str) -> list[Verdict]:
    """Do all convolutions that have stride 2 without anti-aliasing have stride 1 and a 3×3 blur in
    `model`?
    """
    with torch.device("meta"):
        strided, layers = (
            create_model(model, antialias=False),
            dict(create_model(model).named_modules()),
        )
    names = [
        n for n, m in strided.named_modules() if isinstance(m, nn.Conv2d) and m.stride == (2, 2)
    ]
    blurs = [layers[name.removesuffix("conv") + "aa"] for name in names]
    good = [
        layers[name].stride == (1, 1) and isinstance(blur, BlurPool2d) and blur.stride == 2
        for name, blur in zip(names, blurs, strict=True)
    ]
    why = ", ".join(name.removeprefix("body.") for name in names)
    return [Verdict(_judge(all(good)), why, "all", f"{sum(good)} of {len(good)}", COUNTED)]


def changes_less(
    records: list[Record], *, suite: str, model: str, resolution: int = 224
) -> list[Verdict]:
    """When the image moves, do the features of `model` change less than those of the same network
    without blurs?
    """
    found = [
        r for r in latest(records) if (r.suite, r.model, r.metric) == (suite, model, "shift_ratio")
    ]
    chosen = [r for r in found if r.conditions.resolution == resolution]
    if not chosen:
        sizes = sorted({r.conditions.resolution for r in found})
        had = f"measured at {', '.join(map(str, sizes))} px only" if sizes else "no records"
        return [Verdict(NOT_ATTEMPTED, f"{had}; needs shifts of photographs of {resolution} px")]
    verdicts = []
    for r in chosen:
        v = r.value
        why = (
            f"{r.case}: quartiles {v.q1:.2f}–{v.q3:.2f} over {v.repeats} pairs of photograph and"
            " seed"
        )
        verdicts.append(Verdict(_judge(v.q3 < 1), why, "< 1×", f"{v.median:.2f}×", label(r)))
    return verdicts


def keeps_less(
    records: list[Record], *, of: dict, to: dict, at_least: float, dtype: str = "bfloat16"
) -> list[Verdict]:
    """Does network `of` keep at least so many times as much for backward as network `to`, an image
    at 224 px?
    """
    ratio = _kept(of, dtype) / _kept(to, dtype)
    why = f"bytes kept for backward at 224 px, {dtype}"
    return [Verdict(_judge(ratio >= at_least), why, f"≥ {at_least:g}×", f"{ratio:.3f}×", COUNTED)]


def kept_ratio(
    records: list[Record],
    *,
    of: dict,
    to: dict,
    paper: dict[str, dict],
    tolerance: float,
    dtype: str = "bfloat16",
) -> list[Verdict]:
    """Is what `of` keeps for backward over what `to` keeps the ratio of the paper's two largest
    batches?
    """
    printed = paper_value(**paper["of"]) / paper_value(**paper["to"])
    ratio = _kept(of, dtype) / _kept(to, dtype)
    good, why = _near(ratio, printed, tolerance)
    return [Verdict(_judge(good), f"{why}, {dtype}", f"{printed:.3f}×", f"{ratio:.3f}×", COUNTED)]


def _kept(network: dict[str, str], dtype: str) -> float:
    """Bytes an image that a network keeps; `network` holds `create_model`'s arguments."""
    options = {key: value for key, value in network.items() if key != "model"}
    return sum(kept_per_image(network["model"], dtype, **options).values())


def activations_keep(
    records: list[Record], *, activations: list[str], than: str, same: bool
) -> list[Verdict]:
    """Do convolution, BatchNorm, activation, convolution keep as much with these activations as
    with `than`, or more?

    Activations are names of `torch.nn`; they work in place.
    """
    first, *others = (_kept_with(name) for name in (than, *activations))
    good = all(kept == first if same else kept > first for kept in others)
    ours = ", ".join(
        f"{name} {kept / first:.2f}×" for name, kept in zip(activations, others, strict=True)
    )
    why = (
        f"bytes kept for backward by convolution, BatchNorm, activation and convolution; {than} = 1"
    )
    return [Verdict(_judge(good), why, "1×" if same else "> 1×", ours, COUNTED)]


def _kept_with(activation: str) -> int:
    with torch.device("meta"):
        middle = [nn.BatchNorm2d(8), getattr(nn, activation)(inplace=True)]
        unit = nn.Sequential(nn.Conv2d(8, 8, 1), *middle, nn.Conv2d(8, 8, 1))
        return sum(item.bytes for item in kept_for_backward(unit, torch.empty(2, 8, 16, 16)))


def not_slower(
    records: list[Record],
    *,
    suite: str,
    case: str,
    phase: str,
    model: str,
    than: str,
    tolerance: float,
    resolution: int = 224,
) -> list[Verdict]:
    """Is the speed of `model` that of `than`, or higher, up to a loss that counts as negligible?"""
    pairs, verdicts = _pairs(records, resolution, model, than, suite=suite, case=case, phase=phase)
    for a, b in pairs:
        if noisy := _too_noisy(a, b, tolerance):
            verdicts.append(noisy)
            continue
        ratio, least = a.value.median / b.value.median, 1 - tolerance
        why = f"{ratio - 1:+.1%} in speed (a loss of {tolerance:.0%} counts as negligible)"
        verdicts.append(
            Verdict(_judge(ratio >= least), why, f"≥ {least:g}×", f"{ratio:.3f}×", label(a))
        )
    return verdicts


def larger_batch(
    records: list[Record], *, of: dict, to: dict, at_least: float, resolution: int = 224
) -> list[Verdict]:
    """Is the largest batch of network `of` at least so many times that of network `to`?"""
    pairs, verdicts = _largest_batches(records, of, to, resolution)
    for a, b in pairs:
        ratio = a.value.median / b.value.median
        why = f"largest batches {a.value.median:g} and {b.value.median:g}"
        verdicts.append(
            Verdict(_judge(ratio >= at_least), why, f"≥ {at_least:g}×", f"{ratio:.3f}×", label(a))
        )
    return verdicts


def largest_batch_ratio(
    records: list[Record],
    *,
    of: dict,
    to: dict,
    paper: dict[str, dict],
    tolerance: float,
    resolution: int = 224,
) -> list[Verdict]:
    """Is the largest batch of network `of` over that of `to` the ratio of the paper's two?"""
    printed = paper_value(**paper["of"]) / paper_value(**paper["to"])
    pairs, verdicts = _largest_batches(records, of, to, resolution)
    for a, b in pairs:
        ratio = a.value.median / b.value.median
        good, why = _near(ratio, printed, tolerance)
        verdicts.append(Verdict(_judge(good), why, f"{printed:.3f}×", f"{ratio:.3f}×", label(a)))
    return verdicts


def _largest_batches(
    records: list[Record], of: dict, to: dict, resolution: int
) -> tuple[list[tuple[Record, Record]], list[Verdict]]:
    """Pairs of largest batches of two networks, of any suite, that were searched alike; and what to
    answer without.

    A network is its `model`, and the `norm` and `memory` that its record's conditions must have,
    where given.
    """
    found: dict[tuple, dict[int, Record]] = {}
    for r in latest(records):
        c = r.conditions
        if r.metric != "largest_batch" or c.resolution != resolution:
            continue
        way = (r.provenance.device, c.dtype, c.memory_format, c.compile, c.memory_budget)
        for side, network in enumerate((of, to)):
            options = {"model": r.model, "norm": c.norm, "memory": c.memory}
            if all(options[key] == value for key, value in network.items()):
                found.setdefault(way, {})[side] = r
    pairs = [(both[0], both[1]) for both in found.values() if len(both) == 2]
    named = " and ".join(", ".join(map(str, network.values())) for network in (of, to))
    needs = f"no records; needs the largest batches at {resolution} px of {named}"
    return pairs, [] if pairs else [Verdict(NOT_ATTEMPTED, needs)]


CHECKS: dict[str, Callable[..., list[Verdict]]] = {
    check.__name__: check
    for check in (
        faster,
        speed_ratio,
        parameters,
        macs,
        output_side,
        call_quicker,
        call_speedup,
        runs_at_any_size,
        keeps_fewer_maps,
        table_2_cells,
        block_exceeds,
        stages_deeper,
        vary_only,
        awaits_training,
        keeps_less,
        kept_ratio,
        activations_keep,
        not_slower,
        larger_batch,
        largest_batch_ratio,
        se_stages,
        se_place,
        se_reduction,
        blurs_for_strides,
        changes_less,
    )
}


def _elsewhere(module: str, name: str) -> Callable[..., list[Verdict]]:
    """A check of another module, which needs this one and is imported when it is called."""

    def check(records: list[Record], **arguments: object) -> list[Verdict]:
        return getattr(importlib.import_module(f"tresnet_lite.{module}"), name)(
            records, **arguments
        )

    return check


ELSEWHERE = {
    "checks_tables": (
        "outpaces",
        "directions",
        "trains_within",
        "table_1_macs",
        "multi_path_keeps",
    ),
    "accuracy": ("published_accuracy", "published_gain"),
    "checks_figures": ("above_curve", "overtakes"),
    "checks_printed": (
        "awaits",
        "printed_ratios",
        "printed_wins",
        "printed_steps",
        "printed_batches",
    ),
}
CHECKS |= {name: _elsewhere(module, name) for module, names in ELSEWHERE.items() for name in names}


def label(record: Record) -> str:
    """Where a measured number comes from: device, date, commit."""
    return f"measured ({record.provenance.source})"

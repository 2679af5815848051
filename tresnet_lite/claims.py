"""The claims ledger: what the paper asserts, judged by records or by counting.

`data/paper/claims.yaml` states each claim and names one of the checks below. A check returns a verdict for
each device that has the records it needs, "not attempted" with the reason where none has, and one verdict
where counting is enough. No verdict is typed anywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch

from tresnet_lite import __version__, create_model
from tresnet_lite.bench import Record, count_macs, count_parameters, pair
from tresnet_lite.paper import DATA, paper_value

if TYPE_CHECKING:
    import pandas as pd

KINDS = ("speed", "memory", "accuracy", "size")
REPRODUCED, DIFFERS, NOT_ATTEMPTED = "reproduced", "differs", "not attempted"
COUNTED = f"counted (tresnet_lite {__version__})"


@dataclass(frozen=True)
class Verdict:
    """What a check found: the verdict in words, why, the paper's figure, ours and where ours comes from."""

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
            raise ValueError(f"claim {self.id}: kind is {self.kind!r}, not one of {', '.join(KINDS)}")
        if self.check.get("name") not in CHECKS:
            raise ValueError(f"claim {self.id}: no check {self.check.get('name')!r}; there are {', '.join(CHECKS)}")

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

    claims = [Claim(**entry) for entry in yaml.safe_load(path.read_text(encoding="utf-8"))]
    ids = [claim.id for claim in claims]
    if len(set(ids)) < len(ids):
        raise ValueError(f"{path}: ids used twice: {sorted({i for i in ids if ids.count(i) > 1})}")
    return claims


def ledger(records: Iterable[Record]) -> pd.DataFrame:
    """One row for each claim and each device that can judge it.

    Columns: id, section, kind, sentence, verdict, why, paper, ours, label.
    """
    import pandas as pd

    records = list(records)
    rows = [
        {"id": claim.id, "section": claim.section, "kind": claim.kind, "sentence": claim.sentence}
        | {"verdict": v.word, "why": v.why, "paper": v.paper, "ours": v.ours, "label": v.label}
        for claim in load_claims()
        for v in claim.verdicts(records)
    ]
    return pd.DataFrame(rows)


def _judge(good: bool) -> Literal["reproduced", "differs"]:
    return REPRODUCED if good else DIFFERS


def _near(ours: float, paper: float, tolerance: float) -> tuple[bool, str]:
    """Do two figures agree to a relative tolerance? And the sentence that says so."""
    off = ours / paper - 1
    return abs(off) <= tolerance, f"{off:+.1%} from the paper's figure (tolerance {tolerance:.2%})"


def _pairs(
    records: list[Record], resolution: int, model: str, than: str, **where: str
) -> tuple[list[tuple[Record, Record]], list[Verdict]]:
    """The pairs at the claim's resolution, and what to answer where there are none."""
    pairs = pair(records, model, than, **where)
    good = [p for p in pairs if p[0].conditions.resolution == resolution]
    if good:
        return good, []
    sizes = sorted({p[0].conditions.resolution for p in pairs})
    found = f"measured at {', '.join(map(str, sizes))} px only" if sizes else "no records"
    return [], [Verdict(NOT_ATTEMPTED, f"{found}; needs {model} and {than}, {where['phase']} at {resolution} px")]


def faster(
    records: list[Record], *, suite: str, case: str, phase: str, model: str, than: str, resolution: int = 224
) -> list[Verdict]:
    """Is `model` faster than `than`, by more than the spread of both?"""
    pairs, verdicts = _pairs(records, resolution, model, than, suite=suite, case=case, phase=phase)
    for a, b in pairs:
        ours = f"{a.value.median / b.value.median:.3f}×"
        if a.value.q1 > b.value.q3:
            why = "faster, by more than the spread of both"
        elif a.value.q3 < b.value.q1:
            why = "slower, by more than the spread of both"
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
        good, why = _near(ratio, printed, tolerance)
        verdicts.append(Verdict(_judge(good), why, f"{printed:.3f}×", f"{ratio:.3f}×", label(a)))
    return verdicts


def parameters(records: list[Record], *, model: str, classifier: bool, paper: dict, tolerance: float) -> list[Verdict]:
    """Has `model` the printed number of parameters, in millions, with or without its classifier?"""
    with torch.device("meta"):
        ours = count_parameters(create_model(model, num_classes=1000 if classifier else 0)) / 1e6
    return _size(ours, paper, tolerance, "M")


def macs(records: list[Record], *, model: str, paper: dict, tolerance: float) -> list[Verdict]:
    """Does `model` take the printed number of multiply-accumulates, in thousand millions, at 224 px?"""
    with torch.device("meta"):
        ours = count_macs(create_model(model)) / 1e9
    return _size(ours, paper, tolerance, "G")


def _size(ours: float, paper: dict, tolerance: float, unit: str) -> list[Verdict]:
    printed = paper_value(**paper)
    good, why = _near(ours, printed, tolerance)
    return [Verdict(_judge(good), why, f"{printed:g} {unit}", f"{ours:.3f} {unit}", COUNTED)]


def output_side(records: list[Record], *, model: str, layer: str, resolution: int, paper: dict) -> list[Verdict]:
    """Has the output of `layer` the height and width that the paper prints?"""
    shapes: list[torch.Size] = []
    with torch.device("meta"), torch.no_grad():
        net = create_model(model).eval()
        net.get_submodule(layer).register_forward_hook(lambda *call: shapes.append(call[2].shape))
        net(torch.zeros(1, 3, resolution, resolution))
    printed, ours = paper_value(**paper), f"{shapes[0][2]}×{shapes[0][3]}"
    why = f"from an image of {resolution}×{resolution}"
    return [Verdict(_judge(ours == printed), why, printed, ours, COUNTED)]


CHECKS: dict[str, Callable[..., list[Verdict]]] = {
    check.__name__: check for check in (faster, speed_ratio, parameters, macs, output_side)
}


def label(record: Record) -> str:
    """Where a measured number comes from: device, date, commit."""
    return f"measured ({record.provenance.source})"

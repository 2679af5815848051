"""The ratios of speeds that a claim is about, and the range that each must lie in.

The checks of `speed`, `tables` and `figures` ask records for these ratios; `evidence` asks counting
and what others published.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

from tresnet_lite.bench.comparisons import EFFICIENTNETS, ONE_PHASE
from tresnet_lite.claims.speed import THIRD, effect_range
from tresnet_lite.findings.landscape import NETWORK_NAMES
from tresnet_lite.findings.tables import PAPER_SIDE
from tresnet_lite.paper import MODELS, paper_ratio, paper_table

# Table 4's ends, which the other tables have under their own names
ALIASES = {"Original ResNet50": "resnet50", "+ AA": "tresnet_m"}
FIGURE_MODELS = {name: model for model, name in NETWORK_NAMES.items()}  # as figures name them


@dataclass(frozen=True)
class Network:
    """A network at an image size.

    `comparison` is one of `bench.comparisons`, where the name is of a network that it builds; ""
    where `counting.networks.build` knows it.
    """

    name: str
    side: int = PAPER_SIDE
    comparison: str = ""

    @property
    def known_as(self) -> str:
        """Its name in tables of whole networks."""
        return ALIASES.get(self.name, self.name)


@dataclass(frozen=True)
class Asked:
    """The speed of one network over another's, which must lie from `low` to `high`."""

    model: Network
    base: Network
    phase: str
    low: float = 1.0
    high: float = math.inf


def asked(check: Mapping[str, object]) -> list[Asked]:
    """What a check asks, all of which must hold; nothing where it is not about such ratios."""
    ratios = _OF_CHECK.get(str(check["name"]))
    return ratios(**arguments(check)) if ratios else []


def arguments(check: Mapping[str, object]) -> dict[str, Any]:
    """What a check takes besides records."""
    return {name: value for name, value in check.items() if name != "name"}


def _pair(
    ends: Callable[..., tuple[float, float]],
    *,
    suite: str,
    case: str,
    phase: str,
    model: str,
    base: str,
    **settings: Any,
) -> list[Asked]:
    """One network against another; its other settings decide on the range."""
    networks = (_network(suite, case, name) for name in (model, base))
    return [Asked(*networks, phase, *ends(**settings))]


def _above_one() -> tuple[float, float]:
    return 1.0, math.inf


def _almost_one(*, tolerance: float) -> tuple[float, float]:
    return 1 - tolerance, math.inf


def _as_printed(*, paper: dict[str, dict], tolerance: float = THIRD) -> tuple[float, float]:
    return effect_range(paper_ratio(**paper), tolerance)


def _outpaces(
    *, table: int, phase: str, network: str, others: Sequence[str], margin: float = 1.0
) -> list[Asked]:
    ours = _network(f"table{table}", "networks", MODELS[network])
    names = (MODELS[name] for name in others)
    others = [_network(f"table{table}", "networks", name) for name in names]
    return [Asked(ours, other, phase, margin) for other in others]


def _directions(*, phase: str) -> list[Asked]:
    printed = paper_table(4).set_index("refinement")["inference_img_s"]
    steps = []
    for before, after in pairwise(printed.index):
        ends = _above_one() if printed[after] > printed[before] else (0.0, 1.0)
        steps.append(Asked(Network(after), Network(before), phase, *ends))
    return steps


def _overtakes(
    *,
    number: int,
    point: dict[str, object],
    base: dict[str, object],
    paper: dict | None = None,
    tolerance: float = 0.0,
) -> list[Asked]:
    networks = (Network(FIGURE_MODELS[p["network"]], p["resolution"]) for p in (point, base))
    ends = _as_printed(paper=paper, tolerance=tolerance) if paper else _above_one()
    return [Asked(*networks, ONE_PHASE[f"figure{number}"], *ends)]


def _network(suite: str, case: str, name: str) -> Network:
    whole = case in ("networks", "ladder")
    return Network(name, EFFICIENTNETS.get(name, PAPER_SIDE), "" if whole else f"{suite}/{case}")


_OF_CHECK: dict[str, Callable[..., list[Asked]]] = {
    "faster": partial(_pair, _above_one),
    "not_slower": partial(_pair, _almost_one),
    "speed_ratio": partial(_pair, _as_printed),
    "outpaces": _outpaces,
    "directions": _directions,
    "overtakes": _overtakes,
}

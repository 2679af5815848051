"""What there is to measure: points, in the named suites that a campaign takes.

    table1, table3, table4, table5, figure4, figure5     the paper's speeds, at its settings
    memory    the largest batch under each of our memory settings and norms
    axes      ways of running: eager or compiled, both memory formats, precisions, norms
    micro     where the time goes: by stage, by operation, and the device's two ceilings
    paper     all of these

A point that several suites share is measured once and filed under each.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from tresnet_lite.ablation import ablation_ladder
from tresnet_lite.profiles import Profile
from tresnet_lite.records.records import PHASES

SUITES = ("table1", "table3", "table4", "table5", "figure4", "figure5", "memory", "axes", "micro")
ONE_PHASE = {"figure4": "inference", "figure5": "training"}  # suites with one phase
GIB = 2**30

TABLE1 = (
    "resnet50",
    "resnet50d",
    "resnext50_32x4d",
    "efficientnet_b1",
    "seresnext50_32x4d",
    "mixnet_l",
    "tresnet_m",
)
TABLE3 = ("resnet50", "tresnet_m", "tresnet_l", "tresnet_xl")
TRESNETS = TABLE3[1:]
SIDES = (224, 240, 260, 300, 380, 456, 528, 600)  # of EfficientNet-B0 to B7 (Tan and Le, 2019)
EFFICIENTNETS = {f"efficientnet_b{number}": side for number, side in enumerate(SIDES)}
PROFILE_SETTINGS = ("dtype", "repeats", "min_block", "max_seconds")  # as a point takes them
SMOKE_MODELS = ("resnet50", "efficientnet_b0", "tresnet_m", "Original ResNet50", "+ AA")


@dataclass(frozen=True)
class Point:
    """One thing to measure, in a process of its own.

    Attributes:
        suites: what its records are filed under.
        case, model: as a record's; `networks.build` knows the models.
        measures: "speed", "stages", "operations" or "ceilings".
        phases: those to time.
        batch: images a step; None: 90 % of the largest, as in the paper.
        largest: find the largest batch (of training), with or without a `memory_budget` in bytes.
        norm, memory: options of our networks, see `networks.build`.
        repeats, min_block, max_seconds: of the clock, see `measure_many`.
        priority: 0 is measured first.
        seconds: what it may take, roughly.
    """

    suites: tuple[str, ...]
    case: str
    model: str
    device: str
    resolution: int
    batch: int | None
    dtype: str = "float32"
    largest: bool = False
    measures: str = "speed"
    phases: tuple[str, ...] = PHASES
    memory_format: str = "channels_first"
    compile: str = "eager"
    norm: str | None = None
    memory: str | None = None
    memory_budget: int | None = None
    repeats: int = 5
    min_block: float = 0.1
    max_seconds: float = 2.0
    priority: int = 0
    seconds: float = 60.0

    def __post_init__(self) -> None:
        if self.batch is None and not self.largest:
            raise ValueError(f"{self.model}: without a batch the largest must be looked for")
        if unknown := set(self.suites) - set(SUITES):
            raise ValueError(f"{self.model}: no such suite: {', '.join(sorted(unknown))}")

    @property
    def id(self) -> str:
        """All that decides what is measured, in words: what makes two points the same."""
        batch = f"batch {self.batch}" if self.batch else "90 % of the largest batch"
        search = "largest batch" if self.largest and self.batch else ""
        budget = f"{self.memory_budget / GIB:g} GiB" if self.memory_budget else ""
        norm = f"norm {self.norm}" if self.norm else ""
        memory = f"memory {self.memory}" if self.memory else ""
        work = (self.measures, self.model, f"{self.resolution} px", batch, search, budget)
        way = (self.dtype, self.memory_format, self.compile, norm, memory)
        return ", ".join(filter(None, (*work, *way, " and ".join(self.phases))))

    @classmethod
    def from_dict(cls, fields: dict) -> Point:
        """The inverse of `dataclasses.asdict`, through JSON too."""
        return cls(**fields | {name: tuple(fields[name]) for name in ("suites", "phases")})


def points(
    profile: Profile, *, quick: bool = False, memory_budget: int | None = None
) -> list[Point]:
    """All points of a profile, the most valuable first.

    Args:
        quick: only tables and figures, at fixed batches, with largest batches only for Table 3.
        memory_budget: bytes that training may use, to stand in for a smaller GPU. A CPU has 16 GiB
            by default, the memory that the paper's largest batches point to.
    """
    if device_kind(profile) == "cpu":
        memory_budget = memory_budget or 16 * GIB
    open_points = [*_networks(profile), *_ladder(profile)]
    if not quick:
        open_points += [*_memory(profile), *_axes(profile), *_micro(profile)]
    if profile.trial:
        open_points = [
            p
            for p in open_points
            if p.measures == "ceilings" or (p.model in SMOKE_MODELS and p.compile == "eager")
        ]
    settled = [_settle(point, profile, quick, memory_budget) for point in open_points]
    return sorted(settled, key=lambda p: p.priority)


def select(points: list[Point], suites: list[str], models: list[str] | None = None) -> list[Point]:
    """The points of some suites ("paper": all), and of some models where these are given.

    Raises:
        ValueError: a suite or a model that there is none of.
    """
    if unknown := ", ".join(sorted(set(suites) - {*SUITES, "paper"})):
        raise ValueError(f"no suite {unknown}: there are {', '.join(SUITES)} and paper")
    known = {p.model for p in points}
    if unknown := ", ".join(sorted(set(models or ()) - known)):
        raise ValueError(f"no model {unknown}: there are {', '.join(sorted(known))}")
    wanted = set(SUITES) if "paper" in suites else set(suites)
    return [p for p in points if wanted & set(p.suites) and (not models or p.model in models)]


def device_kind(profile: Profile) -> str:
    """ "cpu" or "cuda", whichever of several devices it is."""
    return profile.device.partition(":")[0]


def _point(profile: Profile, suites: tuple[str, ...], case: str, model: str, **settings) -> Point:
    """A point at the profile's settings, 224 px; batch 0 is one that `_settle` will choose."""
    own: dict[str, object] = {"resolution": 224, "batch": 0}
    own |= {name: getattr(profile, name) for name in PROFILE_SETTINGS}
    return Point(suites, case, model, profile.device, **own | settings)


def _networks(profile: Profile) -> list[Point]:
    """Tables 1, 3 and 5 and Figures 4 and 5: each network at a resolution, both phases."""
    figures = ("figure4", "figure5")
    shared: dict[tuple[str, int], Point] = {}

    def add(suites: tuple[str, ...], model: str, resolution: int, priority: int) -> None:
        same = shared.get((model, resolution))
        if same is not None:
            suites, priority = (*same.suites, *suites), min(same.priority, priority)
        settings = {"batch": None, "largest": True, "priority": priority}
        settings["resolution"] = resolution
        shared[model, resolution] = _point(profile, suites, "networks", model, **settings)

    for model in TABLE1:
        add(("table1",), model, EFFICIENTNETS.get(model, 224), 1)
    for model in TABLE3:
        add(("table3",), model, 224, 0)
    for model in TRESNETS:
        add(("table5", *figures), model, 224, 0)
        add(("table5", *figures), model, 448, 3)
    for model, resolution in EFFICIENTNETS.items():
        # The two largest take a CPU longer than all others of the figures, and few TResNets are as
        # slow as they are.
        add(figures, model, resolution, {"efficientnet_b6": 5, "efficientnet_b7": 6}.get(model, 4))
    return list(shared.values())


def _ladder(profile: Profile) -> list[Point]:
    settings = {"batch": None, "largest": True, "priority": 2}
    return [_point(profile, ("table4",), "ladder", rung, **settings) for rung in ablation_ladder()]


def _memory(profile: Profile) -> list[Point]:
    """TResNet-M with the norms and memory settings that Table 3 lacks; L and XL as the paper's."""
    settings = [("tresnet_m", "bn", "paper"), *((model, "iabn", "paper") for model in TRESNETS)]
    settings += [("tresnet_m", "iabn", "recompute"), ("tresnet_m", "iabn", "min")]
    points = []
    for model, norm, memory in settings:
        options = {"norm": norm, "memory": memory, "priority": 5 if model == "tresnet_m" else 6}
        options |= {"batch": None, "largest": True, "phases": ("training",)}
        points.append(_point(profile, ("memory",), "settings", model, **options))
    return points


def _axes(profile: Profile) -> list[Point]:
    """One batch size for all, so that nothing but the way of running differs."""
    # A CPU compiles for minutes, so there it comes last.
    compiled = 10 if device_kind(profile) == "cpu" else 6
    ways = [("eager", "channels_first"), ("eager", "channels_last"), ("default", "channels_last")]
    points = []
    for model in TABLE3[:2]:
        for mode, layout in ways:
            way = {"compile": mode, "memory_format": layout}
            way["priority"] = 6 if mode == "eager" else compiled
            points.append(_point(profile, ("axes",), "ways of running", model, **way))
    for norm in ("iabn", "bn", "mapillary"):
        way = {"norm": norm, "memory": "paper", "priority": 7}
        points.append(_point(profile, ("axes",), "norms", "tresnet_m", **way))
    # A CPU has no float16 worth timing; bfloat16 it has, where the processor's instructions allow.
    other = "bfloat16" if profile.dtype != "bfloat16" else "float16"
    for model in TABLE3[:2]:
        way = {"dtype": other, "memory_format": "channels_last", "priority": 8}
        points.append(_point(profile, ("axes",), "precisions", model, **way))
    return points


def _micro(profile: Profile) -> list[Point]:
    ceilings = _point(profile, ("micro",), "ceilings", "device", measures="ceilings", priority=5)
    return [ceilings] + [
        _point(profile, ("micro",), measures, model, measures=measures, priority=9)
        for measures in ("stages", "operations")
        for model in ("Original ResNet50", "tresnet_m")
    ]


def _settle(point: Point, profile: Profile, quick: bool, memory_budget: int | None) -> Point:
    """A point with what depends on the profile: batch, resolution, memory budget, estimate."""
    on_cpu = device_kind(profile) == "cpu"
    if profile.image_size != 224:
        side = max(32, point.resolution * profile.image_size // 224 // 32 * 32)
        point = replace(point, resolution=side)
    searched = point.largest and ({"table3", "memory"} & set(point.suites) or not (on_cpu or quick))
    fixed = on_cpu or quick or not point.largest
    if fixed:
        batch = profile.batch * (profile.image_size / point.resolution) ** 2
        # Training a batch of one is fine here: every normalised map has more than one pixel.
        point = replace(point, batch=max(1, round(batch)))
    budget = memory_budget if searched or not fixed else None
    point = replace(point, largest=bool(searched), memory_budget=budget)
    return replace(point, **_cpu_times(point) if on_cpu else _gpu_times(point))


# Estimates. They order nothing; they say how long a campaign may take, which corrects them.
GMACS = {  # of an image at 224 px, or at an EfficientNet's own resolution; to 5 %
    "resnet50": 4.1,
    "resnet50d": 4.3,
    "resnext50_32x4d": 4.2,
    "seresnext50_32x4d": 4.2,
    "mixnet_l": 0.56,
    "tresnet_m": 5.7,
    "tresnet_l": 10.9,
    "tresnet_xl": 15.2,
    **dict(zip(EFFICIENTNETS, (0.39, 0.69, 1.0, 1.8, 4.4, 10.2, 19.0, 37.7), strict=True)),
}
START = 8.0  # seconds for a process to import, build and move


def rough_macs(point: Point) -> float:
    """Multiply-accumulates of one image, roughly."""
    full = GMACS.get(point.model, 5.0) * 1e9
    return full * (point.resolution / EFFICIENTNETS.get(point.model, 224)) ** 2


def _cpu_times(point: Point) -> dict[str, float]:
    """The estimate on two cores; a step of many seconds is timed three times."""
    depthwise = point.model.startswith(("efficientnet", "mixnet"))
    step = rough_macs(point) * point.batch / (10e9 if depthwise else 45e9)
    weights = {"training": 3.0, "inference": 1.0}
    repeats = 3 if 3 * step > 1.0 else point.repeats
    timed = sum((repeats + 2) * max(step * weights[phase], 0.1) for phase in point.phases)
    search = 6 * step if point.largest else 0.0
    compiling = 0.0 if point.compile == "eager" else 60.0 * len(point.phases)
    return {"repeats": repeats, "seconds": START + timed + search + compiling}


def _gpu_times(point: Point) -> dict[str, float]:
    """The estimate on a GPU: a step at 90 % of its memory takes any network about a second."""
    search = 14.0 if point.largest else 0.0
    timed = sum({"training": 10.0, "inference": 5.0}[phase] for phase in point.phases)
    timed = timed / 2 if point.batch else timed
    compiling = 0.0 if point.compile == "eager" else 25.0 * len(point.phases)
    return {"repeats": 5, "seconds": START + search + timed + compiling}

"""What there is to measure: points, in the named suites that a campaign takes.

    table1, table3, table4, table5, figure4, figure5     the paper's speeds
    stem, antialias, memory, blocks, se                  what the chapters on components compare
    axes      ways of running: eager or compiled, both memory formats, precisions, norms
    micro     where the time goes: by stage, by operation, and the device's two ceilings
    paper     all of these

Suite memory has the largest batches too, under each of our memory settings and norms. A point that
several suites share is measured once and filed under each.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from tresnet_lite.bench.comparisons import (
    COMPARISONS,
    EFFICIENTNETS,
    TABLE3,
    TRESNETS,
    Comparison,
    side,
)
from tresnet_lite.profiles import Profile
from tresnet_lite.records.records import PHASES
from tresnet_lite.records.selection import PROCESS

SUITES = ("table1", "table3", "table4", "table5", "figure4", "figure5")
SUITES += ("stem", "antialias", "memory", "blocks", "se", "axes", "micro")
GIB = 2**30
# A fast GPU is done with a small batch before the host has started the next kernels. One that has
# much memory gets a larger one.
LARGE, LARGER = 40 * GIB, 4
DONE = "done"  # the line after the records of a point that others may follow in its process

PROFILE_SETTINGS = ("dtype", "repeats", "min_block", "max_seconds")  # as a point takes them
SMOKE_MODELS = ("resnet50", "efficientnet_b0", "tresnet_m", "Original ResNet50")
LARGE_COMPARISONS = ("tables/all", "blocks/every mix")  # which a smoke run leaves out


@dataclass(frozen=True)
class Point:
    """One thing to measure, in a process of its own.

    Attributes:
        suites: what its records are filed under.
        case, model: as a record's; `networks.build` knows the models.
        measures: "comparison", "speed", "stages", "operations" or "ceilings".
        process: of a comparison, which of the processes that repeat it; `model` is its name.
        width: of a comparison, channels of the networks' first stage.
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
    process: int = 0
    width: int = 64
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
        model = self.model
        if self.measures == "comparison":  # which grows with another network
            model += f" of {len(COMPARISONS[model].models)}"
            if self.device.startswith("cuda"):
                batch += f" ({LARGER * self.batch} from {LARGE / GIB:g} GiB)"
        work = (self.measures, model, f"{self.resolution} px", batch, search, budget)
        way = (self.dtype, self.memory_format, self.compile, norm, memory)
        width = f"width {self.width}" if self.width != 64 else ""
        process = f"{PROCESS}{self.process}" if self.process else ""
        words = (*work, *way, width, " and ".join(self.phases), process)
        return ", ".join(filter(None, words))

    @classmethod
    def from_dict(cls, fields: dict) -> Point:
        """The inverse of `dataclasses.asdict`, through JSON too."""
        return cls(**fields | {name: tuple(fields[name]) for name in ("suites", "phases")})


def points(
    profile: Profile, *, quick: bool = False, memory_budget: int | None = None
) -> list[Point]:
    """All points of a profile, the most valuable first.

    Every comparison is measured once before any is measured a second time.

    Args:
        quick: only tables and figures, and largest batches only for Table 3.
        memory_budget: bytes that training may use, to stand in for a smaller GPU. A CPU has 16 GiB
            by default, the memory that the paper's largest batches point to.
    """
    if device_kind(profile) == "cpu":
        memory_budget = memory_budget or 16 * GIB
    single = [*_largest(profile), *_figures(profile)]
    if not quick:
        single += [*_memory(profile), *_axes(profile), *_micro(profile)]
    if profile.trial:
        single = [
            p
            for p in single
            if p.measures == "ceilings" or (p.model in SMOKE_MODELS and p.compile == "eager")
        ]
    settled = [_settle(point, profile, memory_budget) for point in single]
    compared = _comparisons(profile, quick)
    return sorted([*compared, *settled], key=lambda p: p.priority)


def select(points: list[Point], suites: list[str], models: list[str] | None = None) -> list[Point]:
    """The points of some suites ("paper": all), and of some models where these are given.

    A comparison goes by its name, "stem/resnet50" for instance.

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


def _comparisons(profile: Profile, quick: bool) -> list[Point]:
    """A point for each process of each comparison."""
    points = []
    for place, (name, comparison) in enumerate(COMPARISONS.items()):
        tables = {suite for model in comparison.models for suite in _suites(comparison, model)}
        left_out = profile.trial and name in LARGE_COMPARISONS
        # A GPU knows all of Table 1 and 3 as well as this pair of them.
        left_out = left_out or (name == "table3/m" and device_kind(profile) != "cpu")
        if left_out or (quick and not tables & set(SUITES[:6])):
            continue
        # On two cores the slower networks of the tables are only an indication.
        once = comparison.once or (name == "tables/all" and device_kind(profile) == "cpu")
        points += [
            _comparison(profile, name, process, priority=20 * process - 20 + place // 4)
            for process in range(1, 1 + (1 if once else profile.processes))
        ]
    return points


def _comparison(profile: Profile, name: str, process: int, priority: int) -> Point:
    comparison = COMPARISONS[name]
    suites = {suite: None for model in comparison.models for suite in _suites(comparison, model)}
    settings = {"resolution": profile.image_size, "batch": profile.batch, "width": profile.width}
    settings |= {"measures": "comparison", "process": process, "priority": priority}
    phases = tuple(phase for phase in PHASES if comparison.in_(phase))
    point = _point(profile, tuple(suites), comparison.case, name, phases=phases, **settings)
    step = 4.1e9 * (point.resolution / 224) ** 2 * point.batch / 45e9
    timed = sum(
        max(0.05, step) * {"training": 15, "inference": 5}[phase] * len(comparison.in_(phase))
        for phase in phases
    )
    if device_kind(profile) != "cpu":
        timed = 2.0 * sum(len(comparison.in_(phase)) for phase in phases)
        timed += TRIALS * len(comparison.models) if comparison.loss is None else 0
    return replace(point, seconds=START + timed)


def _suites(comparison: Comparison, model: str) -> list[str]:
    return [suite for phase in PHASES for suite in comparison.suites_of(model, phase)]


def _largest(profile: Profile) -> list[Point]:
    """The largest batch of Table 3's networks and, on a GPU, their speeds at 90 % of it."""
    settings = {"batch": None, "largest": True, "priority": 10}
    if device_kind(profile) == "cpu":  # where it is counted, and no batch to time
        settings["phases"] = ()
    suites = {"resnet50": ("table3",)}
    return [
        _point(profile, suites.get(m, ("table3", "table5")), "networks", m, **settings)
        for m in TABLE3
    ]


def _figures(profile: Profile) -> list[Point]:
    """What Table 5 and Figures 4 and 5 show and the comparisons lack: each network once."""
    figures = ("figure4", "figure5")
    points = [
        _point(profile, ("table5", *figures), "networks", m, resolution=448, priority=55)
        for m in TRESNETS
    ]
    for model, resolution in EFFICIENTNETS.items():
        if model != "efficientnet_b1":
            # The two largest take a CPU longer than all others of the figures, and few TResNets are
            # as slow as they are.
            late = {"efficientnet_b6": 121, "efficientnet_b7": 122}
            priority = late.get(model, 54) if device_kind(profile) == "cpu" else 54
            own = {"resolution": resolution, "priority": priority}
            points.append(_point(profile, figures, "networks", model, **own))
    return points


def _memory(profile: Profile) -> list[Point]:
    """TResNet-M with the norms and memory settings that Table 3 lacks; L and XL as the paper's."""
    settings = [("tresnet_m", "bn", "paper"), *((model, "iabn", "paper") for model in TRESNETS)]
    settings += [("tresnet_m", "iabn", "recompute"), ("tresnet_m", "iabn", "min")]
    points = []
    for model, norm, memory in settings:
        options = {"norm": norm, "memory": memory, "priority": 50 if model == "tresnet_m" else 51}
        options |= {"batch": None, "largest": True, "phases": ("training",)}
        points.append(_point(profile, ("memory",), "settings", model, **options))
    return points


def _axes(profile: Profile) -> list[Point]:
    """One batch size for all, so that nothing but the way of running differs."""
    # A CPU compiles for minutes, so there it comes last.
    compiled = 120 if device_kind(profile) == "cpu" else 103
    ways = [("eager", "channels_first"), ("eager", "channels_last"), ("default", "channels_last")]
    points = []
    for model in TABLE3[:2]:
        for mode, layout in ways:
            way = {"compile": mode, "memory_format": layout}
            way["priority"] = 103 if mode == "eager" else compiled
            points.append(_point(profile, ("axes",), "ways of running", model, **way))
    for norm in ("iabn", "bn", "mapillary"):
        way = {"norm": norm, "memory": "paper", "priority": 104}
        points.append(_point(profile, ("axes",), "norms", "tresnet_m", **way))
    # A CPU has no float16 worth timing; bfloat16 it has, where the processor's instructions allow.
    other = "bfloat16" if profile.dtype != "bfloat16" else "float16"
    for model in TABLE3[:2]:
        way = {"dtype": other, "memory_format": "channels_last", "priority": 105}
        points.append(_point(profile, ("axes",), "precisions", model, **way))
    return points


def _micro(profile: Profile) -> list[Point]:
    ceilings = _point(profile, ("micro",), "ceilings", "device", measures="ceilings", priority=11)
    return [ceilings] + [
        _point(profile, ("micro",), measures, model, measures=measures, priority=106)
        for measures in ("stages", "operations")
        for model in ("Original ResNet50", "tresnet_m")
    ]


def _settle(point: Point, profile: Profile, memory_budget: int | None) -> Point:
    """A point with what depends on the profile: batch, resolution, memory budget, estimate."""
    on_cpu = device_kind(profile) == "cpu"
    point = replace(point, resolution=side(point.resolution, profile.image_size))
    if on_cpu or not point.largest:
        batch = profile.batch * (profile.image_size / point.resolution) ** 2
        # Training a batch of one is fine here: every normalised map has more than one pixel.
        point = replace(point, batch=max(1, round(batch)))
    point = replace(point, memory_budget=memory_budget if point.largest else None)
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
# Seconds that cuDNN tries its algorithms on a network's convolutions, once in a process: the H200's
# records, by their dates, leave 2 to 7 at 128 images. At the largest batch they take twice as long.
TRIALS = 4.0


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
    """The estimate on a GPU: a step at 90 % of its memory takes any network about a second.

    Without a search a network's speed is taken after ten seconds of work (`point.WARM`).
    """
    before = 14.0 + 2 * TRIALS if point.largest else TRIALS
    before += 10.0 if point.measures == "speed" and not point.largest else 0.0
    timed = sum({"training": 7.0, "inference": 3.0}[phase] for phase in point.phases)
    timed = timed / 2 if point.batch else timed
    compiling = 0.0 if point.compile == "eager" else 25.0 * len(point.phases)
    return {"repeats": 5, "seconds": START + before + timed + compiling}

"""What the chapter on §2.2's code optimisations shows, checked against independent references."""

import dataclasses
import platform
import re
import subprocess
import sys
from functools import partial
from xml.etree import ElementTree

import nbformat
import pytest
import timm
import torch
import torch.nn.functional as F
from helpers import images, reseed
from hypothesis import given, settings
from hypothesis import strategies as st
from planted import in_processes
from torch import nn

from tresnet_lite import profiles
from tresnet_lite.bench import Timing, measure
from tresnet_lite.bench.clock import Clock
from tresnet_lite.checkout import ROOT
from tresnet_lite.claims.ledger import load_claims
from tresnet_lite.experiments import code_optimizations as code
from tresnet_lite.experiments import compiling, in_place
from tresnet_lite.layers import BlurPool2d, SpaceToDepth, SqueezeExcite
from tresnet_lite.records import Conditions, Record, Spread, collect
from tresnet_lite.show import code_optimizations as drawings
from tresnet_lite.show import notebook

SMOKE = profiles.resolve("smoke", device="cpu")


# Where the operations are.


def test_places_are_those_of_timms_network():
    """timm's layers, found by their names, meet maps of the same shapes, as often."""
    network, shapes, counts = timm.create_model("tresnet_m").eval(), {}, {}
    names = {"SpaceToDepth": "SpaceToDepth", "BlurPool2d": "blur", "SEModule": "average"}
    names["SelectAdaptivePool2d"] = "average"

    def note(seen: dict, part: str):
        return lambda _, inputs: seen.update({part: seen.get(part, (*inputs[0].shape[1:],))})

    for path, module in network.named_modules():
        if (name := names.get(type(module).__name__)) is None:
            continue
        stage = re.search(r"layer(\d)", path)
        part = f"stage {stage[1]}" if stage else "head" if path.startswith("head") else "stem"
        counts[name, part] = counts.get((name, part), 0) + 1
        module.register_forward_pre_hook(note(shapes.setdefault(name, {}), part))
    with torch.no_grad():
        network(torch.zeros(1, 3, 64, 64))
    assert code.operation_inputs(64) == shapes
    table = code.place_table(64).set_index(["operation", "part"])
    assert table["places"].to_dict() == counts


# Bytes.


def test_moved_and_least_are_in_sizes_of_the_input():
    x = torch.zeros(1, 2, 8, 8)
    row = code.traffic_table({"twice": lambda x: (x + 1) * 2}, {"twice": x}).iloc[0]
    assert (row.runs, row.moved, row.least, row.over_least) == ("add, mul", 4, 2, 2)
    assert row.parts == [("add", 2), ("mul", 2)]


# What autograd keeps, and refuses.


def test_autograd_keeps_what_the_chapter_says():
    """Looked up in the graph itself: which tensors the nodes saved."""
    ways, se = in_place.OPERATIONS, SqueezeExcite(3, 1)
    x, leaf = images(2, 3, 4, 4) - 0.5, images(2, 3, 4, 4).requires_grad_()

    def run(name: str, way: str) -> tuple[torch.Tensor, torch.Tensor]:
        y = leaf * 1.0 - 0.4  # of either sign; the subtraction keeps nothing
        return y, ways[name][way](y, x, se)

    y, z = run("LeakyReLU", in_place.OUT)
    assert z.grad_fn._saved_self.data_ptr() == y.data_ptr() != z.data_ptr()
    y, z = run("LeakyReLU", in_place.IN)
    assert z.grad_fn._saved_result.data_ptr() == y.data_ptr() == z.data_ptr()
    for way in (in_place.OUT, in_place.IN):
        assert run("ReLU", way)[1].grad_fn._saved_result.shape == x.shape
        assert not [
            name
            for name in dir(run("residual sum", way)[1].grad_fn)
            if name in ("_saved_self", "_saved_other")
        ]
    before = run("residual sum", in_place.OUT)[0]
    y, z = run("SE scaling", in_place.IN)
    kept = z.grad_fn._saved_self
    # a copy, of the old values
    assert kept.data_ptr() != z.data_ptr() == y.data_ptr() and torch.equal(kept, before)


def test_kept_maps_count_the_next_convolutions_input_once():
    kept = in_place.kept_table().set_index("operation")
    assert kept["kept out"].to_dict() == {
        "residual sum": 1,
        "ReLU": 1,
        "LeakyReLU": 2,
        "SE scaling": 2,
    }
    assert kept["kept in"].to_dict() == {
        "residual sum": 1,
        "ReLU": 1,
        "LeakyReLU": 1,
        "SE scaling": 2,
    }
    assert (kept["moved out"] == kept["moved in"]).all()
    sequence = in_place.kept_maps(
        lambda channels: nn.Sequential(nn.Conv2d(channels, channels, 1), nn.LeakyReLU())
    )
    assert sequence == 2


@pytest.mark.parametrize("way", [in_place.IN, in_place.ONE])
def test_a_blocks_end_is_the_same_however_it_is_written(way):
    plain, other = (
        reseed(in_place.BlockEnd(in_place.OUT, 12)).double(),
        in_place.BlockEnd(way, 12).double(),
    )
    other.load_state_dict(plain.state_dict())
    x = images(3, 12, 5, 7, dtype=torch.float64)
    found = []
    for end in (plain, other):
        inputs = x.clone().requires_grad_()
        output = end(inputs)
        found.append(
            [output, *torch.autograd.grad(output.square().sum(), [inputs, *end.parameters()])]
        )
        found[-1] += [end.bn.running_mean, end.bn.running_var]
    torch.testing.assert_close(found[1], found[0], rtol=1e-10, atol=1e-10)


def test_a_refusal_is_told_in_a_sentence():
    parameter = torch.ones(2, requires_grad=True)
    assert in_place.refusal(lambda: parameter.add_(1)).endswith("in-place operation")
    assert in_place.refusal(lambda: parameter.add(1)) == "no objection"
    with pytest.raises(TypeError):  # no matter of autograd
        in_place.refusal(lambda: parameter.add("1"))


# Compilers.


def test_what_a_compiler_objects_to_is_told_in_a_line(monkeypatch):
    def no_compiler(function, **_):
        raise RuntimeError("no C++ compiler found\nand a long story")

    monkeypatch.setattr(torch, "compile", no_compiler)
    assert compiling.compiled(torch.relu, torch.zeros(1)) == (
        None,
        "RuntimeError: no C++ compiler found",
    )
    assert compiling.attempt(lambda: 3) == (3, "")
    assert compiling.attempt(lambda: [][1])[1] == "IndexError: list index out of range"


@pytest.mark.parametrize(
    "line",
    [
        "import torch.jit",
        "from torch import jit",
        "from torch.jit import script",
        "f = torch.jit.script(g)",
    ],
)
def test_torchscript_is_found_in_any_spelling(tmp_path, line):
    (tmp_path / "a.py").write_text(
        f'"""torch.jit in words does not count."""\n{line}\nimport torch.jitter\n'
    )
    assert compiling.torchscript_uses(tmp_path) == (1, ["a.py:2"])


def test_the_package_uses_no_torchscript():
    modules, uses = compiling.torchscript_uses()
    assert modules > 20 and uses == []


# Measuring and its tables.


def test_calls_are_recorded_with_what_they_depend_on(monkeypatch):
    ran = []

    def once(functions, **_):
        ran.extend(function() for function in functions.values())
        return {name: Timing((0.01, 0.02, 0.03), 10) for name in functions}

    monkeypatch.setattr(code, "measure_many", once)
    x = code.feature_map((2, 4, 6), SMOKE, batch=3, channels_last=True)
    assert x.shape == (3, 2, 4, 6) and x.is_contiguous(memory_format=torch.channels_last)
    calls = {"eager": lambda x: x * 3, "script": lambda x: x * 3}
    where = {"case": "blur", "part": "stage 2"}
    eager, script = code.time_calls(calls, x, SMOKE, **where, phase="training")
    assert all(torch.equal(gradient, torch.full_like(x, 3)) for (gradient,) in ran)
    assert (eager.metric, eager.case, eager.part, eager.phase, eager.value.median) == (
        "time",
        "blur",
        "stage 2",
        "training",
        0.002,
    )
    assert eager.conditions == Conditions(3, 64, "float32", "channels_last", "eager")
    assert script.conditions.compile == "TorchScript"
    with pytest.raises(ValueError, match="give 'inference' or 'training'"):
        code.time_calls(calls, x, SMOKE, **where, phase="test")


def record(place: str, way: str, seconds: float, **changes) -> Record:
    """A time at "case: part", 10 % of spread to either side; 224 pixels unless told otherwise."""
    case, part = place.split(": ")
    ran = {"batch": 4, "resolution": 224} | {k: v for k, v in changes.items() if k != "phase"}
    phase, value = (
        changes.get("phase", "inference"),
        Spread(seconds, seconds * 0.9, seconds * 1.1, 5),
    )
    what = (code.SUITE, case, way, phase, "time", value, Conditions(**ran), collect())
    return Record(*what, part=part)


def test_times_are_compared_within_a_place():
    records = [record("blur: stage 2", "eager", 4e-6), record("blur: stage 2", "script", 2e-6)]
    records += [record("blur: stage 3", way, 1e-6, phase="training") for way in ("eager", "script")]
    records += [record("other: stage 2", "eager", 1e-6)]
    timed = code.times(records, "blur", base="eager")
    assert timed["what"].tolist() == ["blur"] * 2 + ["blur, training"] * 2
    row = timed.iloc[1]
    assert (row["where"], row.way, row.time) == ("stage 2, batch 4", "script", pytest.approx(2))
    assert (row.ratio, row.ratio_low, row.ratio_high) == pytest.approx((2, 2 / 1.1, 2 / 0.9))
    table, columns = drawings.speed_table(timed, way="script")
    assert table["speedup"].tolist() == pytest.approx([2, 1])
    assert table["place"].tolist() == [
        "blur: stage\xa02, batch\xa04",
        "blur, training: stage\xa03, batch\xa04",
    ]
    assert notebook.table(table, *columns).text.splitlines()[2:] == [
        "| blur: stage\xa02, batch\xa04 | 4.0 | 2.0 | 2.00 | 1.82–2.22 |",
        "| blur, training: stage\xa03, batch\xa04 | 1.0 | 1.0 | 1.00 | 0.91–1.11 |",
    ]
    assert drawings.printed_factor("jit-blur") == 2
    assert columns == ["place", "time eager", "time script", "speedup", "spread"]


def test_a_map_of_one_pixel_is_shown_once():
    """It lies in memory in both formats at once, so both measurements bear one name."""
    timed = code.times([record("average: head", "mean", 1e-6)] * 2, "average", base="mean")
    assert len(timed) == 1


def test_a_way_that_is_missing_leaves_a_gap():
    timed = code.times([record("blur: stage 2", "eager", 4e-6)], "blur", base="eager")
    table, columns = drawings.speed_table(timed, way="script")
    assert table["speedup"].isna().all() and "speedup" in columns
    assert "| 4.0 | – | – |" in notebook.table(table, *columns).text


def test_in_place_stands_beside_out_of_place():
    records = []
    for name in in_place.OPERATIONS:
        case = f"{name}: stage 1"
        for way, seconds, peak in ((in_place.OUT, 2e-6, 8e6), (in_place.IN, 1e-6, 4e6)):
            timed = record(case, way, seconds)
            records += [
                timed,
                dataclasses.replace(timed, metric="peak_memory", value=Spread(peak, peak, peak, 1)),
            ]
    table = in_place.times_and_peaks(records).set_index("operation")
    assert list(table.index) == list(in_place.OPERATIONS)
    row = table.loc["LeakyReLU"]
    assert tuple(row[["out", "in", "speedup", "peak out", "peak in"]]) == pytest.approx(
        (2, 1, 2, 2, 1)
    )
    assert row.spread == pytest.approx((1.8 / 1.1, 2.2 / 0.9))


def test_a_block_that_was_held_up_while_warming_up_is_not_taken_for_long():
    """Of the first 200 calls five in six are stalled; the blocks must be long for the pace that
    follows.
    """
    state = {"now": 0.0, "calls": 0}

    def call() -> None:
        state["calls"] += 1
        place = state["calls"] % 6
        state["now"] += 0.02 * place if place and state["calls"] < 200 else 2e-5

    timing = measure(call, min_block=0.01, max_seconds=0.5, clock=Clock(now=lambda: state["now"]))
    assert timing.seconds.median == pytest.approx(2e-5) and timing.calls * 2e-5 >= 0.01


def test_a_call_by_itself_shows_a_clock_that_does_not_wait():
    """A GPU whose queue takes a thousand calls: each starts in 10 µs and works for 100. In a long
    block, whose queue is full, both clocks would see the work.
    """
    state = {"now": 0.0, "busy": 0.0}

    def call() -> None:
        state["now"] = max(state["now"], state["busy"] - 1000 * 1e-4) + 1e-5
        state["busy"] = max(state["busy"], state["now"]) + 1e-4

    def wait() -> None:
        state["now"] = max(state["now"], state["busy"])

    waiting = Clock(synchronize=wait, settle=wait, now=lambda: state["now"])
    forgetful = Clock(now=lambda: state["now"])
    assert code.single_call(call, waiting) == pytest.approx(1.1e-4)
    assert code.single_call(call, forgetful) == pytest.approx(1e-5)
    long, _ = forgetful.block(call, 100_000)
    assert long / 100_000 == pytest.approx(1e-4, rel=0.02)


FAULTS = """
import resource, torch
from tresnet_lite.experiments.code_optimizations import hold_freed_memory
assert hold_freed_memory()
x = torch.ones(2 * 2**20)  # 8 MiB: 2048 pages of 4 KiB
x.clone()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    x.clone()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="another system's allocator is left as it is"
)
def test_freed_memory_is_kept():
    """A map made again and again meets no fresh pages; a tenth of one map's is what else the
    process may do.
    """
    done = subprocess.run(
        [sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert int(done.stdout) < 200


# Verdicts.


def verdict(claim: str, records: list[Record]):
    (found,) = next(c for c in load_claims() if c.id == claim).verdicts(records)
    return found


@pytest.mark.parametrize(
    ("speedups", "word"), [((1.7, 1.5, 2.5), "reproduced"), ((1.5, 1.51, 9), "differs")]
)
def test_almost_twice_is_judged_by_the_median_place(speedups, word):
    records = []
    for stage, speedup in zip((2, 3, 4), speedups, strict=True):
        records += [
            record(f"blur: stage {stage}", "eager", speedup),
            record(f"blur: stage {stage}", "script", 1.0),
        ]
    found = verdict("jit-blur", in_processes(records, 1e-3))
    assert found.word == word and found.why.startswith("median of 3 places")
    median = sorted(speedups)[1]
    assert float(found.ours.partition("×")[0]) == pytest.approx(median, rel=0.005)


def test_up_to_is_judged_by_the_best_place_channels_first():
    def average(stage: int, speedup: float, **changes) -> list[Record]:
        case = f"average: stage {stage}"
        return [
            record(case, "AvgPool2d", speedup, **changes),
            record(case, "view + mean", 1.0, **changes),
        ]

    def judged(records):
        return verdict("gap-view-mean", in_processes(records, 1e-3)).word

    assert judged(average(1, 1.0) + average(2, 4.1)) == "reproduced"
    assert judged(average(1, 1.0) + average(2, 3.9)) == "differs"
    assert judged(average(1, 1.0) + average(2, 9.0, memory_format="channels_last")) == "differs"


@pytest.mark.parametrize(
    ("seconds", "word"), [(0.5, "holds here"), (0.95, "inconclusive"), (2.0, "does not hold here")]
)
def test_quicker_means_beyond_what_processes_differ_by(seconds, word):
    case = "residual sum: stage 1"
    records = [record(case, in_place.OUT, 1.0), record(case, in_place.IN, seconds)]
    assert verdict("in-place-op-sum-quicker", records).word == word


SPEED = [
    c.id
    for c in load_claims()
    if c.id.startswith(("jit-", "in-place-op-", "gap-")) and c.kind == "speed"
]


@pytest.mark.parametrize("claim", SPEED)
def test_speeds_of_small_images_judge_nothing(claim):
    check = next(c for c in load_claims() if c.id == claim).check
    case, phase = f"{check['case']}: stage 2", check["phase"]
    ways = [check["model"], check["base"]]
    small = [record(case, way, 1.0, resolution=64, phase=phase) for way in ways]
    assert verdict(claim, []).word == verdict(claim, small).word == "not attempted"
    assert "64 px" in verdict(claim, small).why
    judged = [record(case, way, 1.0, phase=phase) for way in ways]
    # the same speed: no halving, and of a difference nothing can be said
    same = "inconclusive" if check["name"] == "call_quicker" else "differs"
    assert verdict(claim, in_processes(judged, 1e-3)).word == same


def test_any_size_needs_two():
    one = [record("blur: stage 2", "script", 1.0)]
    assert verdict("jit-any-size", one).word == "not attempted"
    assert (
        verdict("jit-any-size", [*one, record("blur: stage 3", "script", 1.0)]).word == "reproduced"
    )


def test_kept_maps_are_judged_by_counting():
    words = {
        name: verdict(f"in-place-op-{name}-keeps-less", []).word for name in ("sum", "activation")
    }
    assert words == {"sum": "differs", "activation": "reproduced"}


# The page.


@pytest.fixture(scope="module")
def functions():
    """What the chapter's own cells define, and PyTorch."""
    chapter = nbformat.read(ROOT / "notebooks" / "06_code_optimizations.ipynb", as_version=4)
    names = {"torch": torch, "F": F}
    for cell in ("space-to-depth", "blur"):
        exec(next(c.source for c in chapter.cells if c.id == cell), names)
    return names


@settings(deadline=None, max_examples=20)
@given(channels=st.integers(1, 4), rows=st.integers(1, 4), columns=st.integers(1, 4))
def test_the_chapters_functions_are_the_packages_layers(functions, channels, rows, columns):
    x = images(2, channels, 4 * rows, 4 * columns)
    assert torch.equal(functions["space_to_depth"](x), SpaceToDepth(4)(x))
    assert torch.equal(functions["blur"](x, functions["kernel"]), BlurPool2d()(x))


def test_drawings_are_legible_and_told_in_words():
    calls = {"blur": BlurPool2d().eval()}
    records = [record("blur: stage 2", way, 1e-6) for way in ("eager", "script", "compile")]
    timed = code.times(records, "blur", base="eager")
    drawn = {
        "traffic": drawings.draw_traffic(
            code.traffic_table(calls, {"blur": torch.zeros(1, 2, 8, 8)})
        ),
        "kept": drawings.draw_kept(in_place.kept_table()),
        "speeds": partial(drawings.draw_speeds, base="eager", quoted="script", claim="jit-blur")(
            timed
        ),
    }
    for drawing in drawn.values():
        width = float(re.search(r'viewBox="0 0 (\S+)', drawing.html)[1])
        sizes = [
            float(size)
            for size in re.findall(r"font(?:-size)?: (?:bold )?([\d.]+)px", drawing.html)
        ]
        assert min(sizes) * 360 / width * 72 / 96 >= 9 - 1e-9  # points, in a column of 360 pixels
        assert ElementTree.fromstring(drawing.html).get("aria-label") == drawing.text
    assert "LeakyReLU: 2 out of place, 1 in place" in drawn["kept"].text
    assert "the paper says 2 for script" in drawn["speeds"].text

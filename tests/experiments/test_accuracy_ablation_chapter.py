"""The accuracy ablation: its small ladder, its images, what is recorded and reused, and its
statistics.
"""

import math
import multiprocessing
import re
from dataclasses import asdict, replace
from itertools import pairwise, product
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from helpers import PROVENANCE
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from skimage import color, data
from torchvision.transforms.functional import to_tensor

from tresnet_lite import ablation_ladder
from tresnet_lite.ablation import RESNET50
from tresnet_lite.claims.ledger import load_claims
from tresnet_lite.experiments import (
    ablation,
    photographs,
    recipe,
    small_images,
    small_training,
    studies,
)
from tresnet_lite.experiments.ablation import LadderStudy
from tresnet_lite.findings import statistics
from tresnet_lite.paper import paper_table
from tresnet_lite.profiles import PROFILES, Training, resolve
from tresnet_lite.records import Conditions, Record, Spread, append, collect, load, store
from tresnet_lite.show import ablation as drawings
from tresnet_lite.train import Digits

RUNGS = list(ablation_ladder())
SMOKE = resolve("smoke")


@pytest.fixture
def tiny(monkeypatch):
    """The ladder on a set of a few random images of two classes."""
    noise = torch.rand(48, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(48) % 2
    images = Digits(noise[:32], labels[:32], noise[32:], labels[32:])
    monkeypatch.setitem(small_images.SETS, "noise", lambda device: images)
    return LadderStudy(Training(seeds=2, epochs=1), "noise", batch=16)


# The ladder.


def test_the_small_ladders_rungs_differ_as_the_papers_do():
    """The same fields in the same order, to the same values but for the depths, which only
    shrink.
    """
    ladders = [
        list(map(asdict, ladder.values()))
        for ladder in (ablation.small_ladder(), ablation_ladder())
    ]
    for pairs in zip(*map(pairwise, ladders), strict=True):
        small, full = ({k: b[k] for k in b if a[k] != b[k]} for a, b in pairs)
        assert small.keys() == full.keys()
        assert small | {"depths": 0} == full | {"depths": 0}
    for small, full in zip(
        ablation.small_ladder().values(), ablation_ladder().values(), strict=True
    ):
        assert full.width == 8 * small.width
        assert all(1 <= s <= f for s, f in zip(small.depths, full.depths, strict=True))


@pytest.mark.parametrize("rung", RUNGS)
def test_every_rung_gives_finite_gradients_on_small_images(rung):
    images = Digits(
        torch.rand(4, 3, 32, 32), torch.tensor([0, 1, 2, 6]), torch.empty(0), torch.empty(0)
    )
    network = ablation.new_network(rung, images, seed=0)
    output = network(images.images)
    assert output.shape == (4, 7)
    output.square().sum().backward()
    assert all(p.grad.isfinite().all() for p in network.parameters())


# The images.


def test_pieces_are_of_their_photograph_and_of_one_half():
    """Every piece is found in its own half of its own photograph, pixel by pixel."""
    images, photographs = (
        small_images.photograph_pieces(),
        list(small_images.grey_photographs().values()),
    )
    halves = [picture.split(128, dim=1) for picture in photographs]
    known = [
        (images.images[i, 0], halves[images.labels[i]][0])
        for i in range(0, len(images.labels), 197)
    ]
    held = [
        (images.held_out_images[i, 0], halves[images.held_out_labels[i]][1])
        for i in range(3, 512, 73)
    ]
    for piece, half in known + held:
        places = half.unfold(0, 32, 1).unfold(1, 32, 1)
        assert (places == piece).all(-1).all(-1).any()
    assert images.held_out_labels.bincount().tolist() == [32] * 16
    assert images.labels.bincount().tolist() == [small_images.PIECES] * 16
    covered = images.held_out_images[:32].flatten().sort().values
    # the whole half, no pixel twice
    assert torch.equal(covered, halves[0][1].flatten().sort().values)


def test_photographs_are_grey_as_scikit_image_makes_them():
    """Both weigh the colours as ITU-R 601 or 709 do, which differ by less than a tenth of the range
    here.
    """
    ours = small_images.grey_photographs()["astronaut"]
    theirs = color.rgb2gray(data.astronaut()).reshape(256, 2, 256, 2).mean((1, 3))
    assert np.corrcoef(ours.numpy().ravel(), theirs.ravel())[0, 1] > 0.98
    assert ours.min() >= 0 and ours.max() <= 1


def test_the_first_pieces_show_every_photograph():
    assert set(small_images.photograph_pieces().labels[:256].tolist()) == set(range(16))


def test_what_cannot_be_had_is_told_with_its_reason(monkeypatch):
    def offline(device):
        raise ConnectionError("cifar10 is not in here and cannot be fetched")

    monkeypatch.setitem(small_images.SETS, "CIFAR-10", offline)
    small_images.load_images.cache_clear()
    images, missing = ablation.find_images(ablation.studies(PROFILES["gpu"]), SMOKE)
    assert list(images) == ["digits", "photographs"] and "cannot be fetched" in missing["CIFAR-10"]
    assert "smoke" in ablation.find_images(ablation.studies(SMOKE), SMOKE)[1]["CIFAR-10"]
    lines = small_images.described(images, missing).set_index("data")
    assert lines.loc["CIFAR-10", "status"].startswith("not attempted: cifar10 is not in here")
    assert lines.loc["digits", "weight"] == pytest.approx(100 / 450)
    assert lines.loc["photographs", "frequent"] == pytest.approx(100 / 16)


def test_cifar_is_what_torchvision_holds(monkeypatch):
    """Its bytes, row by row of (H, W, 3), as PyTorch's own conversion of a PIL image gives them."""
    pixels = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)
    part = SimpleNamespace(data=pixels, targets=[3, 1, 4, 1, 5])
    monkeypatch.setattr(
        small_images, "load_data", lambda name: SimpleNamespace(train=part, test=part)
    )
    found = small_images.cifar10()
    assert torch.equal(found.images, torch.stack([to_tensor(image) for image in pixels]))
    assert found.held_out_labels.tolist() == part.targets


# Training and records.


@pytest.mark.parametrize("wrong", [{"seeds": 0}, {"epochs": 0}, {"epochs": 1.5}, {"seeds": True}])
def test_settings_that_cannot_be(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} is .* 1 or more"):
        ablation.studies(SMOKE, **wrong)


def test_a_network_trained_is_not_trained_again(record_file, tiny, monkeypatch, capsys):
    first = studies.train_studies([tiny], SMOKE).records
    assert [(r.model, r.seed) for r in first] == [(rung, s) for s in (0, 1) for rung in RUNGS]
    assert {r.case for r in first} == {tiny.case}
    # of 16 images
    assert all(0 < r.value.median <= 100 and r.value.median * 16 % 100 == 0 for r in first)
    assert "12 networks, 0 of them trained before" in capsys.readouterr().out
    with monkeypatch.context() as patch:
        patch.setattr(small_training, "train_small", lambda *_, **__: pytest.fail("trained again"))
        assert list(studies.train_studies([tiny], SMOKE).records) == first
    assert load(record_file) == first


def test_committed_networks_are_recognised():
    """A change to a point's words would train all networks again."""
    points = set()
    for profile in PROFILES.values():
        chapters = [*ablation.studies(profile).values(), recipe.study(profile)]
        points |= {study.point(variant, seed) for study, variant, seed in studies.tasks(chapters)}
    records = [r for r in store.committed() if r.suite in ("ablation", "training")]
    assert len(records) >= 80 and {record.point for record in records} <= points


def test_the_same_seed_gives_the_same_accuracy(tiny):
    first, second = (tiny.outcome(RUNGS[-1], 1, "cpu") for _ in range(2))
    assert first.value == second.value


def test_other_settings_and_other_devices_are_trained_anew(record_file, tiny):
    done = studies.train_studies([tiny], SMOKE).records
    points = {r.point for r in done}
    longer, fewer = (replace(tiny.training, **how) for how in ({"epochs": 2}, {"images": 16}))
    for other in ({"training": longer}, {"training": fewer}, {"lr": 0.1}, {"batch": 8}):
        study = replace(tiny, **other)
        assert not points & {study.point(rung, seed) for rung in RUNGS for seed in (0, 1)}
    elsewhere = [replace(r, provenance=PROVENANCE) for r in done]
    record_file.unlink()
    append(record_file, *elsewhere)
    assert len(studies.train_studies([tiny], SMOKE).records) == 2 * len(done)


def test_another_network_under_the_same_name_is_trained_anew(tiny, monkeypatch):
    before = tiny.point(RUNGS[0], 0)
    monkeypatch.setattr(ablation, "STEM_CHANNELS", 16)
    after = tiny.point(RUNGS[0], 0)
    assert before.rpartition("(")[2] != after.rpartition("(")[2]


def test_an_interrupted_run_goes_on_where_it_stopped(record_file, tiny, monkeypatch, capsys):
    """What was trained before the interruption is kept, a half-written line is not, and nothing is
    done twice.
    """
    real, calls = small_training.train_small, []

    def interrupted(*args, **options):
        calls.append(options["seed"])
        if len(calls) == 4:
            raise KeyboardInterrupt
        return real(*args, **options)

    monkeypatch.setattr(small_training, "train_small", interrupted)
    with pytest.raises(KeyboardInterrupt):
        studies.train_studies([tiny], SMOKE)
    assert len(load(record_file)) == 3
    with record_file.open("a") as handle:
        handle.write('{"half')
    assert len(studies.train_studies([tiny], SMOKE).records) == 12
    assert len(calls) == 4 + 9
    assert "12 networks, 3 of them trained before" in capsys.readouterr().out


def test_no_time_left_trains_nothing_and_says_so(record_file, tiny, capsys):
    assert studies.train_studies([tiny], SMOKE, minutes=0).records == []
    assert "12 networks left for another time" in capsys.readouterr().out


def test_a_diverged_network_is_a_failure_and_is_tried_again(record_file, tiny, monkeypatch):
    def diverge(network, *_, **__):
        torch.nn.init.constant_(network.head.fc.weight, math.nan)

    one = replace(tiny, training=Training(seeds=1, epochs=1))
    with monkeypatch.context() as patch:
        patch.setattr(small_training, "train_small", diverge)
        measured = studies.train_studies([one], SMOKE)
    assert measured.records == [] and [f.error for f in measured.failures] == ["diverged"] * 6
    monkeypatch.setattr(
        small_training, "train_small", lambda *_, **__: pytest.fail("was tried again")
    )
    with pytest.raises(pytest.fail.Exception, match="was tried again"):
        studies.train_studies([one], SMOKE)


def test_processes_give_every_outcome_once():
    """Two processes, which load the images themselves; each outcome as one process gives it."""
    study = LadderStudy(Training(seeds=1, epochs=1, images=64), "digits")
    networks = studies.tasks([study])[:2]
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    small_images.load_images.cache_clear()
    try:
        alone, together = (
            [line for line, seconds in studies.outcomes(networks, "cpu", n, math.inf) if seconds]
            for n in (1, 2)
        )
    finally:
        torch.set_num_threads(before)
    assert {r.point: r.value for r in alone} == {r.point: r.value for r in together}
    assert len(together) == 2 and not multiprocessing.active_children()
    here = collect("cpu")
    assert {r.provenance.run for r in together} == {here.run}
    assert here.process not in {r.provenance.process for r in together}


def test_as_many_networks_train_at_once_as_there_are_threads(monkeypatch):
    """On a GPU fewer: each process has the images there, and a context."""
    profiles = [PROFILES["smoke"], PROFILES["cpu"], PROFILES["gpu"]]
    for threads, expected in ((1, [1, 1, 1]), (3, [1, 3, 3]), (6, [1, 6, 4]), (64, [1, 8, 4])):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        assert [studies._workers(profile) for profile in profiles] == expected


def test_the_time_left_is_that_of_earlier_trainings():
    """Two processes trained networks of 10 s and of 60 s in turn, as their records' dates say."""
    short, long = (LadderStudy(Training(seeds=9, epochs=n), "digits") for n in (1, 6))
    records = []
    for process, starts in {"a": (0, 10, 70, 80), "b": (5, 15, 75)}.items():
        for second, study in zip(starts, (short, long, short, long), strict=False):
            date = f"2026-02-01T00:0{second // 60}:{second % 60:02}+00:00"
            here = replace(PROVENANCE, process=process, date=date)
            records += planted({A: [50.0]}, case=study.case, provenance=here)
    taken = studies.seconds_taken(records)
    assert taken == {short.case: [10.0, 10.0, 10.0], long.case: [60.0, 60.0]}
    left = {study.point(A, seed): (study, A, seed) for study in (short, long) for seed in (1, 2, 3)}
    assert studies.Progress(left, taken, workers=2).time_left == "about 2 min"  # (3·10 + 3·60) / 2
    unknown = studies.Progress(left, {short.case: [10.0]}, workers=2)
    assert unknown.time_left == ""
    done = replace(records[1], point=long.point(A, 1))
    unknown.note(done, 30.0)
    assert len(left) == 5 and unknown.time_left == "about 45 s"  # (3·10 + 2·30) / 2


def test_the_first_networks_say_how_long_the_others_take(record_file, tiny, capsys):
    studies.train_studies([tiny], SMOKE)
    told = capsys.readouterr().out.splitlines()
    assert [line.partition(", about")[0] for line in told[1:]] == [
        f"{count} of 12 trained" for count in (1, 2, 4, 8)
    ]
    studies.train_studies([replace(tiny, training=Training(seeds=3, epochs=1))], SMOKE)
    (first, *_) = capsys.readouterr().out.splitlines()
    assert re.fullmatch(
        r"18 networks, 12 of them trained before; the others take about \d+ s", first
    )


# Statistics.


def planted(values: dict[str, list[float]], **changes) -> list[Record]:
    """Records of a run whose rungs have these accuracies, seed by seed."""
    case = LadderStudy(Training(seeds=9, epochs=1), "digits").case
    return [
        replace(
            Record(
                "ablation",
                case,
                rung,
                "training",
                "top1",
                Spread(v, v, v, 1),
                Conditions(64, 32),
                PROVENANCE,
                seed=seed,
            ),
            **changes,
        )
        for rung, found in values.items()
        for seed, v in enumerate(found)
    ]


A, B = RUNGS[:2]


def test_results_are_a_line_for_each_network_and_the_later_record_counts():
    later = replace(PROVENANCE, date="2026-02-01T00:00:00+00:00")
    other = replace(PROVENANCE, device="Another GPU")
    records = planted({A: [50.0, 60.0]}) + planted({A: [55.0]}, provenance=later)
    frame = statistics.results(records + planted({A: [10.0]}, provenance=other))
    assert sorted(frame["top1"]) == [10.0, 55.0, 60.0]
    assert frame["run"].nunique() == 2 and set(frame["data"]) == {"digits"}
    assert statistics.results([]).empty
    assert any("2026-02-01" in run for run in frame["run"])


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.floats(1, 99), st.floats(1, 99)), min_size=2, max_size=9))
def test_gains_are_scipys_paired_t_test(pairs):
    """scipy's `ttest_rel` of the two columns, p and interval."""
    first, second = map(list, zip(*pairs, strict=True))
    row = statistics.gains(statistics.results(planted({A: first, B: second}))).iloc[0]
    differences = np.subtract(second, first)
    assert row["gain"] == pytest.approx(differences.mean(), abs=1e-9)
    if np.ptp(differences) < 1e-6:
        return  # a t of nearly 0/0 is rounding
    theirs = stats.ttest_rel(second, first)
    bounds = theirs.confidence_interval(0.95)
    assert row["corrected"] == pytest.approx(theirs.pvalue, rel=1e-6, abs=1e-12)  # one test
    assert (row["low"], row["high"]) == pytest.approx((bounds.low, bounds.high), rel=1e-6, abs=1e-6)


def test_rungs_are_paired_by_seed_not_by_order():
    """A seed that one of them lacks is left out, whatever the order of the records."""
    records = planted({A: [10.0, 50.0, 90.0], B: [11.0, 52.0, 93.0]})
    del records[1]  # the second seed of A
    row = statistics.gains(statistics.results(records[::-1])).iloc[0]
    assert (row["gain"], row["seeds"]) == (2.0, 2)


def test_an_interval_by_hand():
    """Of 1, 2, 3: mean 2, standard error 1/√3, t of two degrees of freedom at 97.5 % from a printed
    table, 4.303.
    """
    low, high = statistics.interval([1.0, 2.0, 3.0])
    # half a unit of 4.303's last digit
    assert (high - low) / 2 == pytest.approx(4.303 / math.sqrt(3), abs=3e-4)
    assert all(map(math.isnan, statistics.interval([1.0]) + statistics.interval([1.0, 1.0])))


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [
        (0.1, 1, "higher"),
        (-1, -0.1, "lower"),
        (-0.1, 1, "not told apart"),
        (0, 1, "not told apart"),
        (math.nan, math.nan, "cannot be tested"),
    ],
)
def test_words(low, high, word):
    assert statistics.word(low, high) == word


@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 10_000), seeds=st.integers(3, 8))
def test_interval_word_and_p_never_contradict_each_other(seed, seeds):
    """Nine comparisons: "not told apart" is an interval that holds zero, and a corrected p of at
    least 0.05, always. The interval is scipy's at a level of 1 - 0.05/9.
    """
    generator = np.random.default_rng(seed)
    top1 = {rung: (generator.normal(60 + i, 1, seeds)).tolist() for i, rung in enumerate(RUNGS)}
    table = statistics.gains(statistics.results(planted(top1)))
    holds_zero = (table["low"] <= 0) & (table["high"] >= 0)
    assert ((table["word"] == "not told apart") == holds_zero).all()
    assert ((table["corrected"] >= 0.05) == holds_zero).all()
    row = table.iloc[0]
    theirs = stats.ttest_rel(top1[row["rung"]], top1[row["base"]])
    bounds = theirs.confidence_interval(1 - 0.05 / 9)
    assert (row["low"], row["high"]) == pytest.approx((bounds.low, bounds.high))


def test_noise_alone_is_rarely_called_a_gain():
    """With all rungs drawn alike, at most one set in twenty may hold a false gain: of 200 sets, 10,
    and 3 σ more.
    """
    generator = np.random.default_rng(0)
    sets = generator.normal(size=(200, 9, 6)).tolist()

    def false(tests):
        return sum(any(told_apart(values, tests) for values in found) for found in sets)

    def told_apart(values, tests):
        return statistics.word(*statistics.interval(values, tests)) != "not told apart"

    assert false(tests=9) <= 10 + 3 * math.sqrt(200 * 0.05 * 0.95)
    assert false(tests=1) > 30  # uncorrected, 37 % of them


def test_each_rung_is_compared_with_the_one_before_and_with_resnet50_once():
    pairs = statistics.comparisons(RUNGS)
    assert pairs[:5] == list(pairwise(RUNGS))
    assert {(RESNET50, rung) for rung in RUNGS[1:]} <= set(pairs)
    assert len(pairs) == len(set(pairs)) == 9
    # without ResNet50 the steps alone
    assert statistics.comparisons(RUNGS[1:3]) == [tuple(RUNGS[1:3])]


def test_the_papers_column_is_table_4s():
    run = statistics.results(planted({rung: [50.0, 51.0 + i] for i, rung in enumerate(RUNGS)}))
    printed = paper_table(4).set_index("refinement")["top1"]
    assert statistics.levels(run).set_index("rung")["paper_top1"].to_dict() == printed.to_dict()
    table = statistics.gains(run).set_index(["base", "rung"])
    for base, rung in product(RUNGS, RUNGS):
        if (base, rung) in table.index:
            assert table.loc[(base, rung), "paper_gain"] == pytest.approx(
                printed[rung] - printed[base]
            )
    assert statistics.levels(run)["mean"].tolist() == pytest.approx(
        [50.5 + i / 2 for i in range(6)]
    )


def test_one_seed_gives_means_and_no_more():
    run = statistics.results(planted({rung: [50.0 + i] for i, rung in enumerate(RUNGS)}))
    assert statistics.levels(run)["interval"].tolist() == ["–"] * 6
    assert set(statistics.gains(run)["word"]) == {"cannot be tested"}
    assert "+1.00 (–)" in drawings.forest(run, {"digits": 450}).text


@settings(deadline=None, max_examples=50)
@given(
    seed=st.integers(0, 10_000),
    seeds=st.integers(1, 5),
    images=st.integers(2, 60),
    rates=st.tuples(st.floats(0.1, 0.9), st.floats(0.1, 0.9)),
)
def test_the_error_from_the_choice_of_images_is_never_larger_than_stated(
    seed, seeds, images, rates
):
    """Networks that are right on images of their own: the error of the mean over images, from which
    images they are, against the bound from the accuracies alone.
    """
    generator = np.random.default_rng(seed)
    right = [generator.random((seeds, images)) < rate for rate in rates]
    gain = (right[1].astype(float) - right[0]).mean(0)  # of each image
    exact = 100 * gain.std() / math.sqrt(images)
    bound = statistics.images_error(*(100 * r.mean(1) for r in right), images)
    assert exact <= bound + 1e-9


def test_the_bound_on_the_images_error_is_met():
    """Two networks that are wrong on different images disagree as often as they can: of 10 images
    one is lost and two are won, so d is 1, 1, -1 and seven zeros, of variance 0.3 - 0.1².
    """
    bound = statistics.images_error([80.0], [90.0], 10)
    assert bound == pytest.approx(100 * math.sqrt(0.29 / 10))
    same = statistics.images_error([100.0], [100.0], 10)
    assert same == 0  # nothing to disagree on


def test_the_wide_interval_adds_both_errors_in_squares():
    """One comparison, so 1.96 standard errors of the images."""
    run = statistics.results(planted({A: [80.0, 81.0, 82.0], B: [84.0, 86.0, 85.0]}))
    row = statistics.gains(run, 450).iloc[0]
    seeds = (row["high"] - row["low"]) / 2
    images = 1.959964 * statistics.images_error([80.0, 81.0, 82.0], [84.0, 86.0, 85.0], 450)
    assert row["wide_high"] - row["gain"] == pytest.approx(math.hypot(seeds, images), rel=1e-6)
    assert row["gain"] - row["wide_low"] == pytest.approx(math.hypot(seeds, images), rel=1e-6)
    assert math.isnan(statistics.gains(run).iloc[0]["wide_low"])  # it is not said of how many


def test_drawings_tell_their_numbers():
    digits = planted({rung: [50.0, 51.0 + i, 50.5] for i, rung in enumerate(RUNGS)})
    other = planted({RUNGS[0]: [40.0, 42.0], RUNGS[-1]: [45.0, 49.0]})
    other = [replace(r, case=r.case.replace("digits", "photographs")) for r in other]
    trained = statistics.results(digits + other)
    drawn = drawings.forest(trained, {"digits": 450})
    for row in statistics.gains(trained[trained["data"] == "digits"], 450).itertuples():
        wide = f"{row.wide_low:+.2f} to {row.wide_high:+.2f}"
        assert f"{row.rung} over" in drawn.text and f"{row.gain:+.2f} ({row.interval}" in drawn.text
        assert f"with other images {wide})" in drawn.text
        assert f"{row.paper_gain:+.1f}" in drawn.text
    # over ResNet50 alone, and it is not known of how many images
    (alone,) = [
        part for part in drawn.text.split("; ") if part.startswith("photographs, 1 epoch, ")
    ]
    assert "over ResNet50: +6.00" in alone and "other images" not in alone
    assert "nan" not in drawn.text
    assert "Gain of each refinement" in drawings.forest(statistics.results([]), {}).text
    shown = drawings.examples(
        small_images.photograph_pieces(), [*photographs.SKIMAGE, *photographs.SKLEARN]
    )
    assert shown.html.count("<image") == 16


# The chapter.


def test_no_claim_is_judged_by_small_images():
    run = planted(
        {rung: [50.0 + 10 * i, 51.0 + 10 * i, 52.0 + 10 * i] for i, rung in enumerate(RUNGS)}
    )
    claims = [c for c in load_claims() if c.check["name"] == "awaits_training"]
    assert claims and all(
        v.word == "not attempted" for claim in claims for v in claim.verdicts(run)
    )

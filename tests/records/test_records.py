"""Records survive the disk, and what is not a record is refused with file, line and reason."""

import dataclasses
import json
import os
from concurrent.futures import ThreadPoolExecutor

import pytest
from helpers import PROVENANCE
from hypothesis import given
from hypothesis import strategies as st

from tresnet_lite.checkout import DATA
from tresnet_lite.records import (
    Conditions,
    Failure,
    Record,
    RecordError,
    Spread,
    append,
    failures,
    latest,
    load,
    repair,
)
from tresnet_lite.records.files import read
from tresnet_lite.records.lines import VERSION, digest
from tresnet_lite.records.provenance import NO_COMMIT
from tresnet_lite.records.records import from_json
from tresnet_lite.records.text import FORBIDDEN, INVISIBLE

CONDITIONS = Conditions(batch=8, resolution=224)


VISIBLE = st.characters(exclude_categories=("C", "Z"), exclude_characters=FORBIDDEN).filter(
    lambda character: not INVISIBLE.match(character)
)
TEXTS, NAMES = st.text(VISIBLE, max_size=50), st.text(VISIBLE, min_size=1, max_size=50)


def make(model="conv7x7", median=100.0, date=None, device=None, **changes) -> Record:
    value = changes.pop("value", Spread(median, 0.9 * median, 1.1 * median, 5))
    names = {
        "suite": "stem",
        "case": "resnet50",
        "phase": "inference",
        "metric": "throughput",
    } | changes
    provenance = dataclasses.replace(
        PROVENANCE, date=date or PROVENANCE.date, device=device or PROVENANCE.device
    )
    return Record(
        **{"model": model, "value": value, "conditions": CONDITIONS, "provenance": provenance}
        | names
    )


def planted(**changes) -> str:
    """A line whose digest fits, but whose fields are changed (None: left out)."""
    fields = json.loads(make().to_json()) | changes
    fields = {
        name: value for name, value in fields.items() if value is not None and name != "digest"
    }
    return json.dumps(fields | {"digest": digest(fields)})


@given(
    st.floats(1e-6, 1e12),
    NAMES,
    st.sampled_from(["training", "inference"]),
    st.integers(1, 10**4),
    st.sampled_from(["channels_first", "channels_last"]),
    st.fixed_dictionaries(
        {
            "case": NAMES,
            "part": TEXTS,
            "seed": st.none() | st.integers(0, 2**63),
            "counted": st.booleans(),
        }
    ),
)
def test_a_record_comes_back_from_its_line(median, model, phase, batch, memory_format, fields):
    conditions = Conditions(batch, 224, memory_format=memory_format)
    record = make(model, median, phase=phase, conditions=conditions, **fields)
    line = record.to_json()
    assert "\n" not in line and Record.from_json(line) == record == from_json(line)
    assert json.loads(line)["version"] == VERSION == 2


def test_records_are_appended(tmp_path):
    file = tmp_path / "new" / "r.jsonl"
    append(file, make("a"))
    before = file.read_bytes()
    append(file, make("b"), make("é"))
    assert file.read_bytes().startswith(before)
    assert [r.model for r in load(file)] == ["a", "b", "é"]
    append(tmp_path / "new" / "s.jsonl", make("c"))
    assert [r.model for r in load(tmp_path / "new")] == ["a", "b", "é", "c"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("", "not JSON"),
        ("[1]", "not a JSON object"),
        (planted(provenance=None), "no provenance"),
        (planted(provenance={}), "no provenance"),
        (planted(provenance={"device": "x"}), "provenance: missing fields .*commit"),
        (planted(provenance=dataclasses.asdict(PROVENANCE) | {"commit": ""}), "without commit"),
        (
            planted(provenance=dataclasses.asdict(PROVENANCE) | {"weather": "fine"}),
            "unknown fields .*weather",
        ),
        (make().to_json().replace("100.0", "105.0"), "digest does not fit"),
        (make().to_json().replace("digest", "digits"), "digest does not fit"),
        (planted(value={"median": 5.0, "q1": 6.0, "q3": 7.0, "repeats": 3}), "not in order"),
        (planted(value={"median": -5.0, "q1": -6.0, "q3": 7.0, "repeats": 3}), "not positive"),
        (planted(value={"median": "5", "q1": 4.0, "q3": 7.0, "repeats": 3}), "finite numbers"),
        (planted(value={"median": 5.0, "q1": 4.0, "q3": 7.0, "repeats": 0}), "repeats is 0"),
        (planted(value={"median": 5.0, "q1": 5.0, "q3": 5.0, "repeats": 1}), "at least 3 repeats"),
        (planted(value=None), "value is missing"),
        (planted(unit="img/h"), "unit is 'img/h'"),
        (planted(phase="sleep"), "phase is 'sleep'"),
        (planted(metric="beauty"), "metric is 'beauty'"),
        (planted(suite=""), "suite is ''"),
        (planted(model=None), "missing fields .*model"),
        (planted(part=3), "part is 3"),
        (planted(seed=-1), "seed is -1"),
        (planted(seed=True), "seed is True"),
        (planted(counted=1), "counted is 1"),
        (planted(version=3), "version 3 is newer .* up to 2: update tresnet_lite"),
        (planted(version="2"), "version is '2'"),
        (planted(version=0), "version is 0"),
        (planted(conditions={"batch": 0, "resolution": 224}), "batch is 0"),
        (
            planted(conditions={"batch": 1, "resolution": 224, "memory_budget": 0}),
            "memory_budget is 0",
        ),
        (planted(conditions={"batch": 1}), "missing fields .*resolution"),
        (
            planted(conditions={"batch": 1, "resolution": 224, "memory_format": "nhwc"}),
            "channels_last",
        ),
    ],
)
def test_what_is_no_record_is_refused_with_its_reason(tmp_path, line, reason):
    file = tmp_path / "r.jsonl"
    file.write_text(
        make().to_json() + "\n" + line + "\n" + make().to_json() + "\n", encoding="utf-8"
    )
    with pytest.raises(RecordError, match=rf"r\.jsonl:2: .*{reason}"):
        load(file)


def test_a_line_cut_anywhere_is_refused_until_it_is_removed(tmp_path):
    file = tmp_path / "r.jsonl"
    line = make("é").to_json().encode()  # two bytes long: a cut may fall between them
    within = line.index("é".encode()) + 1
    for cut in (1, within, len(line) // 2, len(line) - 1, len(line)):
        file.write_bytes(line + b"\n" + line[:cut])
        with pytest.raises(RecordError, match=r"r\.jsonl:2: a half-written line; repair"):
            load(file)
        with pytest.raises(RecordError, match="ends in a half-written line"):
            append(file, make())
        assert file.read_bytes() == line + b"\n" + line[:cut]
        assert repair(file) == line[:cut].decode(errors="replace")
        append(file, make("b"))
        assert [r.model for r in load(file)] == ["é", "b"]
    assert repair(file) == ""


def test_writers_at_the_same_time_do_not_mix_their_lines(tmp_path):
    # enough for many writes to cross a page while another process looks
    file, count = (
        tmp_path / "r.jsonl",
        400,
    )
    with ThreadPoolExecutor(4) as pool:  # each append opens the file anew, as another process would
        list(pool.map(lambda i: append(file, make(f"writer {i % 4}")), range(count)))
    assert sorted(r.model for r in load(file)) == sorted(f"writer {i % 4}" for i in range(count))


def failed(point="p", message="tried 2 GiB", **changes) -> Failure:
    fields = {
        "suite": "table1",
        "case": "networks",
        "model": "m",
        "phase": "training",
        "error": "out of memory",
    }
    return Failure(
        **fields | {"message": message, "point": point, "provenance": PROVENANCE} | changes
    )


def test_failures_are_lines_beside_the_records(tmp_path):
    file = tmp_path / "r.jsonl"
    append(file, make("a"), failed(message="größer"), make("b"))
    assert [r.model for r in load(file)] == ["a", "b"]
    assert failures(file) == [failed(message="größer")]
    assert read(file) == [make("a"), failed(message="größer"), make("b")]


def test_a_failure_that_was_made_good_is_over(tmp_path):
    file = tmp_path / "r.jsonl"
    good, other = (
        dataclasses.replace(make(), point="p"),
        dataclasses.replace(make(device="B"), point="q"),
    )
    append(file, failed("p"), failed("q"), good, other)
    assert failures(file) == [failed("q")]  # the other device made nothing good here
    append(file, failed("p"))
    assert failures(file) == [failed("p"), failed("q"), failed("p")]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"message": "none at all"}, "the digest does not fit"),
        ({"provenance": None, "digest": None}, "no provenance"),
        ({"phase": "sleep", "digest": None}, "phase is 'sleep'"),
        ({"point": "", "digest": None}, "point is ''"),
        ({"value": 3.0, "digest": None}, "failure: missing fields .* unknown fields .*value"),
    ],
)
def test_a_failure_without_provenance_or_changed_by_hand_is_refused(tmp_path, change, reason):
    fields = {k: v for k, v in (json.loads(failed().to_json()) | change).items() if v is not None}
    fields.setdefault("digest", digest(fields))
    file = tmp_path / "r.jsonl"
    file.write_text(json.dumps(fields) + "\n", encoding="utf-8")
    for reader in (load, failures, read):
        with pytest.raises(RecordError, match=rf"r\.jsonl:1: {reason}"):
            reader(file)


def version1(record: Record | Failure, **changes) -> str:
    """The line that version 1 wrote for a record whose case is given in `changes`, if not plain."""
    fields = json.loads(record.to_json())
    for added in ("version", "digest", "part", "seed", "counted"):
        fields.pop(added, None)
    for added in ("process", "run"):
        del fields["provenance"][added]
    fields |= changes
    return json.dumps(fields | {"digest": digest(fields)}, ensure_ascii=False)


def test_a_line_written_before_points_and_budgets_is_still_a_record():
    fields = json.loads(version1(make()))
    del fields["point"], fields["digest"]
    for added in ("memory", "memory_budget"):
        del fields["conditions"][added]
    for added in ("throttled", "clock_before", "temperature_before"):
        del fields["provenance"][added]
    assert Record.from_json(json.dumps(fields | {"digest": digest(fields)})) == make()


LARGEST = {"metric": "largest_batch", "value": Spread(8, 8, 8, 1)}


@pytest.mark.parametrize(
    ("suite", "case", "fields"),
    [
        ("micro", "stages: layer1", {"case": "stages", "part": "layer1"}),
        ("micro", "operations: aten::mm", {"case": "operations", "part": "aten::mm"}),
        ("code", "SE scaling: stage 1", {"case": "SE scaling", "part": "stage 1"}),
        ("training", "digits, 4 epochs, seed 12", {"case": "digits, 4 epochs", "seed": 12}),
        ("ablation", "digits, width 8, seed 0", {"case": "digits, width 8", "seed": 0}),
        (
            "accuracy",
            "ImageNet validation, crop, with reading",
            {"case": "ImageNet validation, crop", "part": "with reading"},
        ),
        ("table1", "counted", {"case": "networks", "counted": True} | LARGEST),
        ("table4", "counted", {"case": "ladder", "counted": True} | LARGEST),
        ("memory", "counted", {"case": "settings", "counted": True} | LARGEST),
        # what looks so in other suites, or in part, is a case like any other
        ("mine", "stages: layer1", {"case": "stages: layer1"}),
        ("mine", "digits, seed 1", {"case": "digits, seed 1"}),
        ("micro", "ceilings", {"case": "ceilings"}),
        ("training", "digits, 4 epochs", {"case": "digits, 4 epochs"}),
        ("table1", "counted", {"case": "counted"}),  # a speed: nothing that was counted
    ],
)
def test_a_case_of_version_1_is_read_as_the_fields_that_it_stood_for(suite, case, fields):
    record = make(suite=suite, **fields)
    read_record = Record.from_json(version1(record, case=case))
    assert read_record == record
    assert read_record.key == Record.from_json(record.to_json()).key


@given(NAMES, NAMES.filter(lambda text: ":" not in text), st.data())
def test_any_case_of_version_1_is_read(suite, case, data):
    """Parts and seeds come back as they were put in, and what has none stays as it is."""
    part, seed = data.draw(NAMES), data.draw(st.integers(0, 2**63))
    pairs = [
        (make(suite="code", case=case, part=part), f"{case}: {part}"),
        (make(suite="ablation", case=case, seed=seed), f"{case}, seed {seed}"),
        (make(suite=f"my {suite}", case=f"{case}: {part}"), f"{case}: {part}"),
    ]
    for record, old_case in pairs:
        assert Record.from_json(version1(record, case=old_case)) == record


def test_a_failure_of_version_1_has_its_seed_too():
    failure = failed(suite="training", case="digits, 4 epochs", seed=3)
    assert from_json(version1(failure, case="digits, 4 epochs, seed 3")) == failure
    assert from_json(failure.to_json()) == failure


def test_a_line_of_version_1_that_was_changed_by_hand_is_refused():
    line = version1(make(suite="micro", case="stages", part="stem"), case="stages: stem")
    changes = [("100.0", "105.0"), ("stages: stem", "stages: head"), ("{", '{"version": 2, ')]
    for old, new in changes:
        assert old in line
        with pytest.raises(ValueError, match="the digest does not fit"):
            Record.from_json(line.replace(old, new, 1))


def test_records_of_both_versions_supersede_each_other(tmp_path):
    def stage(median: float, day: int) -> Record:
        date = f"2026-01-0{day}T00:00:00+00:00"
        return make(median=median, date=date, suite="micro", case="stages", part="stem")

    old, new = stage(1.0, 1), stage(2.0, 2)
    other = dataclasses.replace(old, part="head")
    seeds = [make(suite="training", case="digits, 4 epochs", seed=seed) for seed in (0, 1)]
    file = tmp_path / "r.jsonl"
    lines = [
        new.to_json(),
        version1(old, case="stages: stem"),
        version1(other, case="stages: head"),
        version1(seeds[0], case="digits, 4 epochs, seed 0"),
        seeds[1].to_json(),
    ]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert load(file) == [new, old, other, *seeds]
    assert set(latest(load(file))) == {new, other, *seeds}
    append(file, stage(3.0, 3))
    assert {r.value.median for r in latest(load(file)) if r.part == "stem"} == {3.0}


def test_what_was_counted_and_what_was_tried_are_two_cases():
    tried = make(suite="table3", case="networks", **LARGEST)
    counted = dataclasses.replace(tried, counted=True)
    assert set(latest([tried, counted])) == {tried, counted}


def test_several_records_are_written_at_once(tmp_path, monkeypatch):
    """Killed before that write, a campaign's point has left nothing; after it, all."""
    written, write = [], os.write
    monkeypatch.setattr(os, "write", lambda fd, data: written.append(data) or write(fd, data))
    append(tmp_path / "r.jsonl", make("a"), make("b"), failed())
    assert len(written) == 1 and written[0].count(b"\n") == 3


def test_a_later_record_of_the_same_case_supersedes_an_earlier_one():
    early, late = (
        make(median=1.0, date="2026-01-01T00:00:00+00:00"),
        make(median=2.0, date="2026-01-03T00:00:00+00:00"),
    )
    assert latest([late, early]) == [late]
    others = [make("other"), make(device="B"), make(phase="training"), make(suite="micro")]
    others.append(dataclasses.replace(early, conditions=Conditions(16, 224)))
    assert set(latest([early, *others])) == {early, *others}
    again = make(median=3.0, date=late.provenance.date)
    assert latest([early, late, again]) == [again]  # of the same second, the one written last


def test_the_processes_of_a_comparison_stand_together():
    first, second, third = (
        dataclasses.replace(make(median=median), point=f"a, process {k}")
        for k, median in enumerate((1.0, 2.0, 4.0), 1)
    )
    (record,) = latest([first, second, third])
    assert record.value == Spread(2.0, 1.5, 3.0, 3)
    # two have no quartiles: the widest of theirs
    (record,) = latest([first, second])
    ends = (first.value.q1, second.value.q3)
    assert (record.value.median, record.value.q1, record.value.q3) == (1.5, *ends)
    # measured again, a process takes its own place alone
    again = dataclasses.replace(first, value=second.value)
    assert latest([first, second, again])[0].value.median == 2.0
    # what one process measured otherwise, before or after, is known less well
    alone = make(median=9.0, date="2026-01-05T00:00:00+00:00")
    assert latest([first, second, alone])[0].value.median == 1.5


def test_committed_records_were_made_from_a_commit():
    measured = load(DATA / "measured")
    if not measured:
        pytest.skip("no records are committed yet")
    assert [r for r in measured if r.provenance.commit == NO_COMMIT or r.provenance.dirty] == []


def test_committed_records_stay_as_they_were_written():
    """Every line is read, of whatever version, and refused when a character is changed."""
    lines = [
        line
        for file in sorted((DATA / "measured").glob("*.jsonl"))
        for line in file.read_text(encoding="utf-8").splitlines()
    ]
    for line in lines:
        record = from_json(line)
        assert from_json(record.to_json()) == record
        with pytest.raises(ValueError, match="the digest does not fit"):
            from_json(line.replace('"date": "2', '"date": "3'))

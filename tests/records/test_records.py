"""Records survive the disk, and what is no record is refused with file, line and reason."""

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
    pair,
    repair,
)
from tresnet_lite.records.provenance import NO_COMMIT
from tresnet_lite.records.records import _digest, read

CONDITIONS = Conditions(batch=8, resolution=224)


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
    return json.dumps(fields | {"digest": _digest(fields)})


@given(
    st.floats(1e-6, 1e12),
    st.text(min_size=1),
    st.sampled_from(["training", "inference"]),
    st.integers(1, 10**4),
    st.sampled_from(["channels_first", "channels_last"]),
)
def test_a_record_comes_back_from_its_line(median, model, phase, batch, memory_format):
    conditions = Conditions(batch, 224, memory_format=memory_format)
    record = make(model, median, phase=phase, conditions=conditions)
    line = record.to_json()
    assert "\n" not in line and Record.from_json(line) == record


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
    fields.setdefault("digest", _digest(fields))
    file = tmp_path / "r.jsonl"
    file.write_text(json.dumps(fields) + "\n", encoding="utf-8")
    for reader in (load, failures, read):
        with pytest.raises(RecordError, match=rf"r\.jsonl:1: {reason}"):
            reader(file)


def test_a_line_written_before_points_and_budgets_is_still_a_record():
    fields = json.loads(make().to_json())
    del fields["point"], fields["digest"]
    for added in ("memory", "memory_budget"):
        del fields["conditions"][added]
    for added in ("throttled", "clock_before", "temperature_before"):
        del fields["provenance"][added]
    assert Record.from_json(json.dumps(fields | {"digest": _digest(fields)})) == make()


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


def test_pairs_are_measured_alike():
    base = make("conv7x7", 100.0)
    fast = make("space_to_depth", 120.0)
    elsewhere = make("space_to_depth", 130.0, device="B")
    half = dataclasses.replace(fast, conditions=Conditions(8, 224, dtype="float16"))
    small = dataclasses.replace(fast, conditions=Conditions(8, 64))
    assert pair([base, fast, elsewhere, half, small], "space_to_depth", "conv7x7") == [(fast, base)]
    assert pair([base, fast], "space_to_depth", "conv7x7", phase="training") == []
    larger = dataclasses.replace(fast, conditions=Conditions(16, 224, norm="native"))
    assert pair([larger, base, fast], "space_to_depth", "conv7x7", suite="stem") == [(larger, base)]
    capped = [
        dataclasses.replace(r, conditions=Conditions(16, 224, memory_budget=2**34))
        for r in (base, fast)
    ]
    pairs = pair([base, fast, *capped], "space_to_depth", "conv7x7")
    assert pairs == [(fast, base), (capped[1], capped[0])]  # an emulated card is another device


def test_committed_records_were_made_from_a_commit():
    measured = load(DATA / "measured")
    if not measured:
        pytest.skip("no records are committed yet")
    assert [r for r in measured if r.provenance.commit == NO_COMMIT or r.provenance.dirty] == []

"""No field of a record holds anything but its type, and no text anything but text."""

import dataclasses
import json
import os
import time

import pytest
from helpers import PROVENANCE
from hypothesis import given
from hypothesis import strategies as st
from payloads import PAYLOADS
from planted import speed

from tresnet_lite.bench.campaign import Slot, failures_of
from tresnet_lite.bench.suites import points
from tresnet_lite.profiles import PROFILES
from tresnet_lite.records import (
    Conditions,
    Failure,
    Provenance,
    Record,
    RecordError,
    append,
    latest,
    load,
    provenance,
)
from tresnet_lite.records.files import LARGEST, read
from tresnet_lite.records.lines import digest
from tresnet_lite.records.records import from_json
from tresnet_lite.records.text import LONGEST, LONGEST_MESSAGE, check_text, clean, printable

OTHERS = {"memory": "paper", "timm": "1", "cuda": "12", "driver": "5", "throttled": ""}
RECORD = json.loads(speed("table3", "resnet50", "training", 9.0).to_json())
FAILURE = json.loads(Failure("s", "c", "m", "", "died", "why", "p", PROVENANCE).to_json())


def text_fields(line):
    """(of which object, field) for each that may hold text."""
    for place, fields in {"": line, **line}.items():
        if place in ("", "conditions", "provenance") and isinstance(fields, dict):
            for name, value in fields.items():
                if (isinstance(value, str) or name in OTHERS) and name not in ("unit", "digest"):
                    yield place, name


def doctored(line, place, name, value):
    """The line with one field changed, and a digest that fits."""
    changed = json.loads(json.dumps(line))
    (changed[place] if place else changed)[name] = value
    del changed["digest"]
    return json.dumps(changed | {"digest": digest(changed)})


FIELDS = [(line, *field) for line in (RECORD, FAILURE) for field in text_fields(line)]


def test_every_text_is_doctored():
    names = {name for _, _, name in FIELDS}
    for kind in (Record, Conditions, Failure, Provenance):
        assert {f.name for f in dataclasses.fields(kind) if "str" in f.type} <= names


@pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS)
def test_text_that_is_more_than_text_is_refused(tmp_path, payload):
    """In every field of records and failures, with file, line and field."""
    for line, place, name in FIELDS:
        file = tmp_path / "r.jsonl"
        file.write_text(doctored(line, place, name, payload) + "\n", encoding="utf-8")
        with pytest.raises(RecordError, match=rf"r\.jsonl:1: .*{name}"):
            read(file)


@pytest.mark.parametrize("value", [True, 3, 1.5, [1], {}, ["x"], {"a": 1}])
def test_what_is_no_text_is_refused(value):
    for line, place, name in FIELDS:
        with pytest.raises(ValueError, match=rf"{name}( |$|:)"):
            from_json(doctored(line, place, name, value))


@pytest.mark.parametrize(
    ("place", "name", "value"),
    [
        ("conditions", "batch", True),
        ("conditions", "batch", 1.5),
        ("conditions", "resolution", "224"),
        ("conditions", "width", 10**40),
        ("provenance", "threads", "x"),
        ("provenance", "threads", True),
        ("provenance", "dirty", "no"),
        ("provenance", "dirty", 0),
        ("provenance", "cudnn", 1.5),
        ("provenance", "clock", "fast"),
        ("provenance", "clock", float("nan")),
        ("provenance", "temperature", float("inf")),
        ("value", "median", True),
        ("value", "median", float("nan")),
        ("value", "median", 10**400),
        ("value", "repeats", 5.0),
        ("value", "repeats", 10**400),
        ("provenance", "date", "2026-W01-1T00:00:00+00:00"),
        ("provenance", "date", "2026-01-01 00:00:00+00:00"),
        ("", "seed", 1.0),
        ("", "counted", "yes"),
        ("", "conditions", []),
    ],
)
def test_types_are_strict(place, name, value):
    with pytest.raises(ValueError, match=name):
        from_json(doctored(RECORD, place, name, value))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("[" * 9_000, "nested too deeply"),
        ('{"a":' * 3_000 + "1" + "}" * 3_000, "nested too deeply"),
        (doctored(RECORD, "", "point", "x" * 2**20), "characters: at most"),
        (doctored(RECORD, "", "point", "x" * (LONGEST + 1)), "point has 301 characters"),
        (doctored(FAILURE, "", "message", "x" * 1001), "message has 1001 characters"),
        ("9" * 9_000, "r.jsonl:1"),
        ('"\\ud800"', "not a JSON object"),
        ('{"provenance": {"device": "\\ud800"}}', "surrogates not allowed"),
    ],
)
def test_what_could_keep_a_reader_busy_is_refused_at_once(tmp_path, content, reason):
    file = tmp_path / "r.jsonl"
    file.write_text(content + "\n", encoding="utf-8")
    start = time.monotonic()
    with pytest.raises(RecordError, match=reason):
        read(file)
    assert time.monotonic() - start < 5


@pytest.mark.parametrize(
    "text", ["\u3164", "\u115f", "\u2800", "\ufe0f", "\u034f", "\U000e0100", " "]
)
def test_a_text_that_looks_like_another_is_refused(tmp_path, text):
    """It would be another device by the same name."""
    for name in (f"Imaginary GPU{text}", f"Imaginary{text} GPU"):
        (tmp_path / "r.jsonl").write_text(doctored(RECORD, "provenance", "device", name) + "\n")
        with pytest.raises(RecordError, match="device has (a character that is not|spaces)"):
            read(tmp_path / "r.jsonl")
        assert clean(name) != name and (text == " " or text not in printable(name))


def test_a_field_stands_in_a_line_once(tmp_path):
    """Of two, people and programs would read different ones."""
    line = json.dumps(RECORD)
    for twice in (
        line.replace("{", '{"suite": "other", ', 1),
        line.replace('"provenance": {', '"provenance": {"device": "other", '),
    ):
        (tmp_path / "r.jsonl").write_text(twice + "\n")
        with pytest.raises(RecordError, match="a field stands in the line twice"):
            read(tmp_path / "r.jsonl")


def test_an_error_is_not_as_long_as_its_line(tmp_path):
    (tmp_path / "r.jsonl").write_text(doctored(RECORD, "", "unit", "x" * 15_000) + "\n")
    with pytest.raises(RecordError, match="unit is 'xxx") as raised:
        read(tmp_path / "r.jsonl")
    assert len(str(raised.value)) < LONGEST_MESSAGE + 200


@pytest.mark.parametrize("kind", ["a device", "a pipe"])
def test_what_never_ends_is_not_read(tmp_path, kind):
    """A link to a device can be committed."""
    path = tmp_path / "r.jsonl"
    if kind == "a device":
        path.symlink_to("/dev/zero")
    else:
        os.mkfifo(path)
    with pytest.raises(RecordError, match=r"r\.jsonl is not a file"):
        read(tmp_path)


def test_a_million_lines_are_refused(tmp_path):
    file = tmp_path / "r.jsonl"
    with file.open("wb") as sparse:
        sparse.truncate(LARGEST + 1)
    with pytest.raises(RecordError, match="larger than 64 MiB"):
        read(file)


def test_a_date_in_the_future_is_refused(tmp_path):
    far = dataclasses.replace(PROVENANCE, date="9999-12-31T00:00:00+00:00")
    record = dataclasses.replace(speed("s", "m", "training", 9), provenance=far)
    append(tmp_path / "r.jsonl", record)
    with pytest.raises(RecordError, match=r"r\.jsonl:1: date is 9999-12-31.* in the future"):
        load(tmp_path / "r.jsonl")


def test_dates_are_compared_as_moments():
    """As text, a Z would come after every digit and sign."""
    early, late = (
        dataclasses.replace(
            speed("s", "m", "training", 9), provenance=dataclasses.replace(PROVENANCE, date=date)
        )
        for date in ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05.5+00:00")
    )
    assert latest([late, early]) == [late]


@given(st.text(), st.integers(1, 50))
def test_cleaned_text_is_allowed(text, longest):
    cleaned = clean(text, longest)
    check_text("device", cleaned)
    assert len(cleaned) <= longest and clean(cleaned, longest) == cleaned


@pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS)
def test_our_own_writers_clean_what_others_say(tmp_path, monkeypatch, payload):
    monkeypatch.setattr("torch.cuda.get_device_name", lambda device: payload)
    monkeypatch.setattr("sys.argv", ["x.py", payload * 99])
    file, device = tmp_path / "r.jsonl", provenance.device_name("cuda")
    point = points(PROFILES["smoke"])[0]
    message = payload * 999
    assert len(message) > LONGEST_MESSAGE
    append(file, *failures_of(point, Slot({}, device), "died", message))
    assert {line.provenance.device for line in read(file)} == {device}


def test_the_points_of_campaigns_need_no_cleaning():
    for profile in PROFILES.values():
        for point in points(profile):
            assert [clean(t) for t in (point.id, point.case)] == [point.id, point.case]

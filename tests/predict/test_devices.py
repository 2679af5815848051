"""The file of constants: what was fitted is what is read, and what was doctored is refused."""

import json
from dataclasses import replace

import numpy as np
import pytest

from tresnet_lite.predict import devices
from tresnet_lite.predict.constants import shipped
from tresnet_lite.predict.devices import Constants, datasheet, device_memory
from tresnet_lite.records.lines import digest

LINE = devices.FILE.read_text(encoding="utf-8").splitlines()[2]  # the RTX 4090's


def doctored(change, *, sign: bool = True) -> str:
    """The line after a change of its fields, with a digest that fits or without."""
    fields = json.loads(LINE)
    change(fields)
    return json.dumps(fields | {"digest": digest(fields)} if sign else fields)


def test_constants_survive_being_written(tmp_path):
    known = list(devices.read().values())
    assert [c.key for c in known] == ["v100", "rtx3090", "rtx4090", "rtx5090"]
    devices.write(known, tmp_path / "again.jsonl")
    again = list(devices.read(tmp_path / "again.jsonl").values())
    assert [c.to_json() for c in again] == [c.to_json() for c in known]


def test_the_file_holds_what_its_sources_give():
    """Fitted again from data/paper and data/published: constants, errors and where they are from.

    Least squares stop at a relative change of 1e-8 of the cost, of which constants are about the
    square root.
    """
    for again, known in zip(shipped(), devices.read().values(), strict=True):
        for name in known.fit.free:
            values = getattr(again.fit.rates, name), getattr(known.fit.rates, name)
            assert values[0] == pytest.approx(values[1], rel=1e-3), (known.key, name)
        assert again.fit.free == known.fit.free and again.fit.rules == known.fit.rules
        assert again.fit.spread == pytest.approx(known.fit.spread, rel=1e-3)
        assert (again.median, again.rms) == pytest.approx((known.median, known.rms), rel=0.01)
        words = ("key", "device", "source", "training", "norm", "speeds")
        assert all(getattr(again, w) == getattr(known, w) for w in words)


def test_no_constant_exceeds_a_data_sheet():
    for constants in devices.read().values():
        sheet = datasheet(constants.device)
        assert constants.fit.rates.arithmetic < sheet.arithmetic
        assert constants.fit.rates.bandwidth < sheet.bandwidth


def test_a_data_sheet_is_found_by_the_name_that_torch_gives_a_device():
    assert datasheet("NVIDIA GeForce RTX 4090") == datasheet("RTX 4090")
    assert datasheet("RTX 4090").bandwidth == 1008e9
    assert device_memory("NVIDIA GeForce RTX 4090") == 24
    for unknown in ("Imaginary GPU", "GTX 4090", "NVIDIA GeForce RTX 4090 Laptop GPU"):
        assert datasheet(unknown) is device_memory(unknown) is None


def set_rate(**changes):
    return lambda fields: fields["fit"]["rates"].update(changes)


@pytest.mark.parametrize(
    "line, why",
    [
        (doctored(set_rate(bandwidth=9e11), sign=False), "the digest does not fit"),
        (doctored(lambda f: f.update(median=0.001), sign=False), "the digest does not fit"),
        (doctored(set_rate(bandwidth=2e12)), "faster than the data sheet of a RTX 4090"),
        (doctored(set_rate(arithmetic=-1.0)), "rates must be positive"),
        (doctored(set_rate(slowdown=0.0)), "rates must be positive"),
        (doctored(set_rate(bandwidth="8e11")), "bandwidth is '8e11': it must be a number"),
        (doctored(set_rate(speed=1.0)), "these are not constants of a device"),
        (doctored(lambda f: f["fit"].update(spread=0.0)), "spread 0.0"),
        (doctored(lambda f: f["fit"].update(degrees=0)), "over 0 degrees of freedom"),
        (doctored(lambda f: f["fit"]["rules"].update(grouped=0)), "at least one channel"),
        (doctored(lambda f: f["fit"].update(free=["bandwidth"])), r"a covariance of \(3, 3\)"),
        (
            doctored(lambda f: f["fit"].update(covariance=(-np.eye(3)).tolist())),
            "it has a negative variance",
        ),
        (doctored(lambda f: f.update(speeds=2)), "2 speeds, errors"),
        (doctored(lambda f: f.update(source="<script>")), "a character that is not allowed"),
        (doctored(lambda f: f.pop("fit")), "these are not constants of a device"),
        ("[]", "these are not constants of a device"),
        ("{", "Expecting property name"),
    ],
)
def test_doctored_constants_are_refused(tmp_path, line, why):
    file = tmp_path / "constants.jsonl"
    file.write_text(f"{LINE}\n{line}\n", encoding="utf-8")
    with pytest.raises(ValueError, match=f"constants.jsonl:2: .*{why}"):
        devices.read(file)


def test_a_device_stands_in_a_file_once(tmp_path):
    file = tmp_path / "constants.jsonl"
    file.write_text(f"{LINE}\n{LINE}\n", encoding="utf-8")
    with pytest.raises(ValueError, match="rtx4090 a second time"):
        devices.read(file)


def test_training_of_other_cards_takes_one_cards_slowdown():
    known = devices.read()
    lender, fitted = known["rtx3090"], known["rtx5090"]
    assert fitted.fit.rates.slowdown == lender.fit.rates.slowdown
    assert fitted.fit.training_spread == lender.fit.spread
    assert fitted.training == "taken from the RTX 3090" and lender.training == "fitted"


def test_an_instance_is_checked_as_a_line_is():
    known = Constants.from_json(LINE)
    with pytest.raises(ValueError, match="rates must be positive"):
        fit = replace(known.fit, rates=replace(known.fit.rates, arithmetic=0.0))
        replace(known, fit=fit)

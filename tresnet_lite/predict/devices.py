"""Constants of devices: fitted ones, kept in `data/predict/constants.jsonl`, one line per device.

    v100              the paper's 24 speeds (data/paper)
    rtx3090 …         timm's speeds of this book's networks (data/published)

`python -m tresnet_lite.predict constants` makes the file again from what it was fitted to.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tresnet_lite.checkout import DATA
from tresnet_lite.paper.published import peak
from tresnet_lite.predict.fit import Fit
from tresnet_lite.predict.roofline import Rates, Rules
from tresnet_lite.records.files import replacing
from tresnet_lite.records.lines import digest
from tresnet_lite.records.text import check_fields

FILE = DATA / "predict" / "constants.jsonl"
ROUNDING = 1.001  # of rates that a fit held to the data sheet


def sheet_row(device: str) -> pd.Series | None:
    """The row of `data/published/devices.csv` whose name a device's own name ends in, if any.

    torch calls an "RTX 4090" "NVIDIA GeForce RTX 4090".
    """
    table = pd.read_csv(DATA / "published" / "devices.csv")
    rows = table[[f" {device}".endswith(f" {name}") for name in table["device"]]]
    return None if rows.empty else rows.iloc[0]


def datasheet(device: str) -> Rates | None:
    """The rates that a device's maker promises, which none can exceed; None if not known."""
    row = sheet_row(device)
    if row is None:
        return None
    promised = peak(row["device"])
    return Rates(promised.flops / 2, promised.bandwidth)


def device_memory(device: str) -> float | None:
    """GiB of a device; None if not known."""
    row = sheet_row(device)
    return None if row is None else float(row["memory_gib"])


@dataclass(frozen=True)
class Constants:
    """A device's constants with all that is needed to predict and to say where they come from.

    Attributes:
        key: what the command calls the device, such as "rtx4090".
        device: its name, in `data/published/devices.csv` where its data sheet is known.
        way: how the fitted speeds were run.
        source: what they are.
        training: where the slowdown of training comes from: "fitted", or of which device.
        norm: of the TResNets that were fitted to, as `sources.counted_load` takes it.
        speeds: how many were fitted to.
        median, rms: errors when each network is left out.
        fit: the constants.
    """

    key: str
    device: str
    way: str
    source: str
    training: str
    norm: str
    speeds: int
    median: float
    rms: float
    fit: Fit

    def __post_init__(self) -> None:
        check_fields(self)
        _check_fit(self.fit)
        if not (self.speeds > len(self.fit.free) and min(self.median, self.rms) >= 0):
            raise ValueError(f"{self.key}: {self.speeds} speeds, errors {self.median}, {self.rms}")
        sheet = datasheet(self.device)
        if sheet and not (
            self.fit.rates.arithmetic <= ROUNDING * sheet.arithmetic
            and self.fit.rates.bandwidth <= ROUNDING * sheet.bandwidth
        ):
            raise ValueError(f"{self.key}: faster than the data sheet of a {self.device} allows")

    def to_json(self) -> str:
        """One line, without its newline; its digest lets a reader refuse an edited one."""
        fields = dataclasses.asdict(self)
        fields["fit"]["covariance"] = np.round(self.fit.covariance, 12).tolist()
        fields = json.loads(json.dumps(fields))  # tuples become lists, as a reader has them
        return json.dumps(fields | {"digest": digest(fields)}, ensure_ascii=False)

    @classmethod
    def from_json(cls, line: str) -> Constants:
        """The constants that a line holds.

        Raises:
            ValueError: no such constants, a digest that does not fit, or numbers that cannot be.
        """
        try:
            fields: dict[str, Any] = json.loads(line)
            its_digest = digest(fields)
            if fields.pop("digest", None) != its_digest:
                raise ValueError("the digest does not fit: was the line changed after the fit?")
            fit = fields["fit"]
            fit |= {"rates": Rates(**fit["rates"]), "rules": Rules(**fit["rules"])}
            fit |= {"free": tuple(fit["free"]), "covariance": np.array(fit["covariance"], float)}
            return cls(**fields | {"fit": Fit(**fit)})
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"these are not constants of a device: {error}") from error


def _check_fit(fit: Fit) -> None:
    for part in (fit.rates, fit.rules):
        check_fields(part)
    rates, count = fit.rates, len(fit.free)
    if not all(getattr(rates, name) > 0 for name in ("arithmetic", "bandwidth", "slowdown")):
        raise ValueError(f"rates must be positive, not {rates}")
    if rates.launch < 0 or (rates.depthwise is not None and rates.depthwise <= 0):
        raise ValueError(f"rates must be positive, not {rates}")
    if min(fit.rules.inputs, fit.rules.outputs, fit.rules.grouped) < 1:
        raise ValueError(f"tiles have at least one channel, not {fit.rules}")
    known = [field.name for field in dataclasses.fields(Rates)]
    if not set(fit.free) <= set(known) or fit.covariance.shape != (count, count):
        raise ValueError(f"a covariance of {fit.covariance.shape} for the constants {fit.free}")
    if np.linalg.eigvalsh(fit.covariance).min() < -1e-9 or not np.isfinite(fit.covariance).all():
        raise ValueError("the covariance is none: it has a negative variance")
    if not (fit.spread > 0 and (fit.training_spread or 1) > 0 and fit.degrees >= 1):
        raise ValueError(f"spread {fit.spread} over {fit.degrees} degrees of freedom")


def read(file: Path = FILE) -> dict[str, Constants]:
    """The constants of a file, by key.

    Raises:
        ValueError: a line that `Constants.from_json` refuses; the message names it.
    """
    known: dict[str, Constants] = {}
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        try:
            constants = Constants.from_json(line)
        except ValueError as error:
            raise ValueError(f"{file}:{number}: {error}") from error
        if constants.key in known:
            raise ValueError(f"{file}:{number}: {constants.key} a second time")
        known[constants.key] = constants
    return known


def write(constants: Iterable[Constants], file: Path) -> None:
    """Write a file of constants in place of what was there."""
    with replacing(file) as new:
        new.write_text("".join(c.to_json() + "\n" for c in constants), encoding="utf-8")

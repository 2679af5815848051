"""Predict the speed of networks on a device by counting, without the device.

    python -m tresnet_lite.predict --device rtx4090 --image-size 224 tresnet_m resnet50
    python -m tresnet_lite.predict --fit records.jsonl --out mine.jsonl
                                        constants of your GPU, from records of a few networks
    python -m tresnet_lite.predict --constants mine.jsonl --device h200 tresnet_m
    python -m tresnet_lite.predict paper            the paper's 24 speeds, each left out in turn
    python -m tresnet_lite.predict validate FOLDER  timm's published speeds, half against half
    python -m tresnet_lite.predict constants        fit the constants in data/predict again

NETWORK is one of ours, a row of Table 4, or any network of timm. The interval is one that 95 % of
networks like the fitted ones fall into. The exit code is 0 at the end, 1 where a network could not
be counted, 2 for what cannot be done at all.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from tresnet_lite.predict import devices, paper_report, validate
from tresnet_lite.predict.constants import own_constants, shipped
from tresnet_lite.predict.devices import Constants, datasheet, device_memory
from tresnet_lite.predict.load import PARAMETER_BYTES, Load
from tresnet_lite.predict.memory import largest_batch
from tresnet_lite.predict.roofline import Rules, demand, image_seconds, share_of_bytes
from tresnet_lite.predict.sources import NORMS, Untraceable, counted_load
from tresnet_lite.records import RecordError, load
from tresnet_lite.records.text import Parser, say

COLUMNS = ("network", "phase", "img/s", "95 % interval", "bytes limit", "data sheet", "batch ≤")
ROW = "{:24} {:9} {:>7} {:>16} {:>11} {:>10} {:>10}"


def main(arguments: list[str] | None = None) -> int:
    words = sys.argv[1:] if arguments is None else arguments
    commands = {"paper": _paper, "validate": _validate, "constants": _constants}
    try:
        command = commands.get(words[0]) if words else None
        return command(words[1:]) if command else _predict(words)
    except (ValueError, LookupError, OSError, RecordError) as error:
        say(f"error: {error}", file=sys.stderr)
        return 2


def _predict(words: list[str]) -> int:
    options = _parser().parse_args(words)
    constants = own_constants(load(options.fit)) if options.fit else _known(options)
    if options.out:
        devices.write([constants], options.out)
    if not (options.networks or options.fit):
        raise ValueError("which networks? Name some, such as tresnet_m resnet50")
    say(*about(constants))
    if not options.networks:
        return 0
    side, batch = options.image_size, options.batch
    memory = options.memory or device_memory(constants.device)
    known = f"{memory:g} GiB" if memory else "not known: give --memory"
    say("", f"{side} px, batches of {batch}; memory {known}")
    say(ROW.format(*COLUMNS))
    given = (constants, side, batch, memory, options.norm or constants.norm)
    results = [predict_network(name, *given) for name in options.networks]
    for lines, _ in results:
        say(*lines)
    return int(any(failed for _, failed in results))


def _known(options: argparse.Namespace) -> Constants:
    known = devices.read() | (devices.read(options.constants) if options.constants else {})
    if options.device not in known:
        names = ", ".join(known)
        own = "measure a few networks and give --fit RECORDS for another"
        raise ValueError(f"device {options.device!r}: constants are known for {names}; {own}")
    return known[options.device]


def about(constants: Constants) -> Iterator[str]:
    """What constants are, where they come from and how well they predict."""
    rates, sheet = constants.fit.rates, datasheet(constants.device)
    promised = "no data sheet here"
    if sheet:
        promised = f"data sheet {2 * sheet.arithmetic / 1e12:g} and {sheet.bandwidth / 1e9:g}"
    dense, memory = 2 * rates.arithmetic / 1e12, rates.bandwidth / 1e9
    outside = "compiled networks are outside of this"
    yield f"{constants.device} ({constants.key}), {constants.way}; {outside}"
    yield f"  {dense:.1f} TFLOP/s dense, {memory:.0f} GB/s; {promised}"
    if rates.depthwise:
        yield f"  {2 * rates.depthwise / 1e12:.2f} TFLOP/s depthwise"
    if rates.launch:
        yield f"  {rates.launch * 1e6:.0f} µs that each operation takes at least"
    yield f"  TResNets with norm {constants.norm!r}, unless --norm names another"
    yield f"  training {rates.slowdown:.2f} times as long as counted ({constants.training})"
    yield f"  fitted to {constants.speeds} speeds: {constants.source}"
    yield f"  each network left out: median {constants.median:.1%}, rms {constants.rms:.1%}"


def predict_network(
    name: str, constants: Constants, side: int, batch: int, memory: float | None, norm: str
) -> tuple[list[str], bool]:
    """The table's lines for a network, with notes, and whether it could not be counted."""
    lines = []
    for phase in PARAMETER_BYTES:
        try:
            asked = counted_load(name, side, phase, norm)
        except Untraceable as error:
            return [f"{name}: cannot be counted: {error}"], True
        fits = (
            str(largest_batch(name, side, memory, norm)) if memory and phase == "training" else ""
        )
        lines.append(_row(name, asked, constants, batch, fits))
    return lines + [f"  note: {note}" for note in notes(asked)], False


def _row(name: str, asked: Load, constants: Constants, batch: int, fits: str) -> str:
    speed = constants.fit.predict(asked, batch)
    share = share_of_bytes(demand([(asked, batch)], constants.fit.rules), constants.fit.rates)[0]
    sheet, bound = datasheet(constants.device), ""
    if sheet:  # nothing padded, and nothing slower than promised
        whole = demand([(asked, batch)], Rules(1, 1, 1))
        bound = f"≤ {1 / image_seconds(whole, sheet)[0]:.0f}"
    interval = f"{speed.low:.0f} to {speed.high:.0f}"
    return ROW.format(
        name, asked.phase, f"{speed.value:.0f}", interval, f"{share:.0%}", bound, fits
    )


def notes(asked: Load) -> Iterator[str]:
    """Where a network is outside of what constants are fitted to."""
    fitted = "constants come from convolutional networks with batch norm"
    if asked.has_attention:
        yield f"it has attention, and {fitted}: its interval is not tested"
    elif not asked.has_batch_norm:
        yield f"it has no batch norm, and {fitted}: its interval is not tested"


def _paper(words: list[str]) -> int:
    Parser(prog="python -m tresnet_lite.predict paper").parse_args(words)
    say(*paper_report.report())
    return 0


def _validate(words: list[str]) -> int:
    parser = Parser(prog="python -m tresnet_lite.predict validate")
    parser.add_argument("folder", type=Path, help=f"timm's results: {validate.SOURCE}")
    parser.add_argument("--only", default="", help="files whose name contains this")
    parser.add_argument("--out", type=Path, help="a CSV file of what is printed")
    options = parser.parse_args(words)
    files = [f for f in validate.result_files(options.folder) if options.only in f.name]
    if not files:
        raise ValueError(f"no file in {options.folder} has {options.only!r} in its name")
    say("median errors of the unseen half; 95 % intervals: share of speeds, of ratios inside")
    rows = []
    for file in files:
        rows.append(validate.validate(file))
        say(validate.line(rows[-1]))
        if options.out:  # after each, as a folder takes minutes
            table = pd.DataFrame([dataclasses.asdict(row) for row in rows])
            table.to_csv(options.out, index=False, float_format="%.4g")
    return 0


def _constants(words: list[str]) -> int:
    Parser(prog="python -m tresnet_lite.predict constants").parse_args(words)
    constants = shipped()
    devices.write(constants, devices.FILE)
    for each in constants:
        say(*about(each))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m tresnet_lite.predict",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("networks", nargs="*", metavar="NETWORK")
    add("--device", default="rtx4090", help="v100, rtx3090, rtx4090, rtx5090, or of --constants")
    add("--image-size", type=int, default=224, help="pixels")
    add("--batch", type=int, default=128, help="images per step")
    add("--memory", type=float, help="GiB, for the largest batch; default: the device's")
    norms = "of our networks; default: as those that constants were fitted to"
    add("--norm", choices=sorted(NORMS.values()), help=norms)
    add("--fit", type=Path, help="records of your GPU (bench run table1), in place of --device")
    add("--out", type=Path, help="where to keep the constants of --fit")
    add("--constants", type=Path, help="a file of constants that --out kept")
    return parser


if __name__ == "__main__":
    sys.exit(main())

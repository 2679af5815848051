"""Evaluate weights on labelled photographs: top-1 and top-5 with intervals, and a record of them.

    python -m tresnet_lite.evaluate --table 3 --data IMAGENET   Table 3: M, L, XL at 224
    python -m tresnet_lite.evaluate --table 5 --data IMAGENET   Table 5: at 224, and 448 squashed;
                                                                then 448 cropped, the trap
    python -m tresnet_lite.evaluate --model tresnet_m --size 448 --data IMAGENET
    python -m tresnet_lite.evaluate --model resnet50.a1_in1k --data IMAGENET    any model of timm
    python -m tresnet_lite.evaluate --weights runs/m/last.pt --data digits      a training's result
    torchrun --nproc-per-node 8 -m tresnet_lite.evaluate …                      shared among GPUs

IMAGENET is the validation folder, with a sub-folder named by synset for each class, or a folder
with that in val/. `--labels real` counts by ReaL's labels; for ImageNet-V2 give its folder. What
was predicted is kept, so a killed evaluation goes on where it stopped, and other labels cost no
second run. The exit code is 0 at the end, 1 where the evaluation itself fails, 2 for what cannot be
done at all, 130 after an interruption.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import torch

from tresnet_lite.checkout import BUILD
from tresnet_lite.evaluate import photographs
from tresnet_lite.evaluate.accuracy import SQUASHED, Accuracy, printed_top1
from tresnet_lite.evaluate.photographs import Photographs, real_labels
from tresnet_lite.evaluate.predictions import PredictionError, predict
from tresnet_lite.evaluate.scoring import score, to_records
from tresnet_lite.evaluate.subjects import PROTOCOLS, PUBLISHED, Subject, published_name, subject
from tresnet_lite.records import Record, RecordError, append, load, store
from tresnet_lite.records.text import Parser, number, say
from tresnet_lite.train import processes
from tresnet_lite.train.reading import ReaderLost, TooManyUnreadable
from tresnet_lite.train.run_folder import ResumeError

DTYPE_NAMES = ("float32", "float16", "bfloat16")


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        with processes.joined(options.device) as device:
            return run(options, device)
    except KeyboardInterrupt:
        say("interrupted: the same command goes on", file=sys.stderr)
        return 130
    except torch.OutOfMemoryError as error:
        advice = f"give a smaller --batch than {options.batch}"
        say(f"out of memory: {advice}: {error}", file=sys.stderr)
        return 1
    except (TooManyUnreadable, ReaderLost) as failure:
        say(f"stopped: {failure}", file=sys.stderr)
        return 1
    except (ValueError, OSError, ImportError, ResumeError, PredictionError, RecordError) as error:
        say(f"error: {error}", file=sys.stderr)
        return 2


def run(options: argparse.Namespace, device: torch.device) -> int:
    """Evaluate what the options name, one after the other."""
    if options.dtype == "float16" and device.type == "cpu":
        raise ValueError("float16 needs a GPU: float32 or bfloat16 on a CPU")
    if not (options.table or options.model or options.weights):
        raise ValueError("what to evaluate? Give --model, --weights or --table")
    for entry in _subjects(options):
        evaluate_subject(entry, options, device)
    return 0


def _subjects(options: argparse.Namespace) -> Iterator[Subject]:
    """The networks that the options name; a table has the weights that were published."""
    if not options.table:
        names = ("size", "protocol", "standardise")
        images = {name: getattr(options, name) for name in names}
        yield subject(options.model, options.weights, **images)
        return
    if options.model or options.weights or options.size or options.protocol:
        what = "which weights, sizes and protocols"
        raise ValueError(f"--table says itself {what}: give it without these")
    ways = [(224, "crop")]
    if options.table == 5:
        ways += [(SQUASHED, "squash"), (SQUASHED, "crop")]
    for size, protocol in ways:
        for model in PUBLISHED:
            yield subject(published_name(model, size), size=size, protocol=protocol)


def evaluate_subject(subject: Subject, options: argparse.Namespace, device: torch.device) -> None:
    """Predict what is missing, print the accuracies, and append their records to the file."""
    first = processes.rank() == 0
    images = photographs(options.data, subject.num_classes, subject.trained_on)
    labels = real_labels(images.dataset, options.labels) if options.labels else None
    # Where the book looks for them.
    out = options.records or store.machine_file("gpu" if device.type == "cuda" else "cpu")
    if first:
        append(out)  # a file that cannot be written, or is no file of records, is refused here
        what = f"{subject.name}, {subject.protocol} {subject.size}, on {images.name}"
        say(f"{what}: {len(images.dataset):,} images", *notes(subject, images))
    ran = {"batch": options.batch, "dtype": options.dtype}
    reading = {"workers": options.workers, "unreadable": options.unreadable}
    tell = partial(say, file=sys.stderr)
    predictions = predict(subject, images, options.keep, device=device, **ran, **reading, tell=tell)
    if not first:
        return
    scores, real = score(predictions, labels), labels is not None
    records = to_records(subject, images.name, predictions, scores, **ran, real=real)
    known = load(out)
    # said again, not measured again
    append(out, *[record for record in records if record not in known])
    lines = accuracy_lines(subject, records, scores, len(predictions.unreadable))
    say(*lines, f"records: {out}")


def notes(subject: Subject, images: Photographs) -> list[str]:
    """What a reader of the accuracy must know of its images."""
    if images.trained_on:
        return [f"  {images.trained_on:,} more are left out: the run was trained on them"]
    if subject.trained_on is not None and "class_names" not in subject.trained_on:
        older = "an older run, whose checkpoint does not say which images it was trained on"
        return [f"  {older}, nor its classes' names: they are taken in their order"]
    return []


def accuracy_lines(
    subject: Subject, records: list[Record], scores: tuple[Accuracy, Accuracy], unreadable: int
) -> list[str]:
    """What an evaluation ends with."""
    top1, top5 = scores
    lines = [f"  top-1 {top1}, top-5 {top5}; in brackets the 95 % interval of so many images"]
    printed = printed_top1(subject.name, subject.size, records[0].case)
    if printed is not None:
        lines.append(f"  the paper prints {printed:.1f} %")
    for record in records:
        if record.metric == "throughput":
            lines.append(f"  {record.value.median:,.0f} images per second with reading")
    if unreadable:
        lines.append(f"  {unreadable} images could not be read and are not counted")
    return lines


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m tresnet_lite.evaluate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--data", required=True, help="a folder of images, or a data set by name (its test images)")
    names = "published weights by timm's name (tresnet_m.miil_in1k_448)"
    add("--model", help=f"ours, {names}, or any model of timm")
    url = "a URL (with #sha256=… it is checked)"
    add("--weights", help=f"a run's folder or checkpoint, another checkpoint, {url} or a hub name")
    weights = "all published weights behind a table of the paper"
    add("--table", type=int, choices=(3, 5), help=weights)
    add(
        "--size",
        type=number(least=1, most=8192),
        help="pixels; default: as the weights were trained",
    )
    usual = "squash from 448 on, crop below, as the authors did"
    add("--protocol", choices=PROTOCOLS, help=f"default: {usual}")
    standard = "ImageNet's mean and std, as torchvision's weights want them"
    add("--standardise", action="store_true", help=standard)
    add("--labels", help="'real', or a real.json: count by ReaL's labels")
    add("--batch", type=number(least=1), default=64, help="images at once, in each process")
    add("--dtype", choices=DTYPE_NAMES, default="float32", help="a half precision means autocast")
    add("--device", help="cuda or cpu; default: the GPU where there is one")
    workers = min(8, os.cpu_count() or 1)
    add("--workers", type=number(), default=workers, help="processes that read images")
    broken = "broken images that are skipped before this stops"
    add("--unreadable", type=number(), default=100, help=broken)
    add("--keep", type=Path, default=BUILD / "evaluations", help="where predictions are kept")
    records = f"${store.VARIABLE}, or build/records/PROFILE.jsonl"
    add("--records", type=Path, help=f"file of records; default: {records}")
    return parser


if __name__ == "__main__":
    sys.exit(main())

"""Run a command, and every Python that it starts, on an imitated GPU.

    python tests/rehearsal --gib 0.34 -- python -m tresnet_lite.bench run table3 --profile gpu \\
        --models resnet50 --out build/rehearsal/records.jsonl

Tensors say "cuda:0" and compute on the CPU. As on a GPU: devices do not mix, autocast's lists,
GradScaler, memory with a limit, out of memory in torch's or in cuDNN's words, events, and an
nvidia-smi. The GPU profile measures images of 32 px, with short blocks, unless `--profile full` is
given. What a command takes on two cores depends on the batches that fit: training ResNet-50 needs
0.31 GiB, TResNet-M 0.36 and XL 0.95 before the first image. Other settings:

    --smi na|error|throttled|mig|missing    how nvidia-smi answers
    --words cudnn                           a convolution runs out of memory in cuDNN's words
    --taken 0.2                             GiB that another process holds
    --capability 6.1                        a card that torch has no code for

What is recorded names its device "Rehearsal of …". Not there: speed, cuDNN, workspaces, streams,
NCCL, a second GPU, extensions in C++; torch.compile runs eagerly, inference_mode is no_grad, the
profiler tells the CPU's times, and a parameter's type is GpuTensor. Threads other than the first
cannot make tensors on the GPU.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

from imitation.card import VARIABLE, Card

FOLDER = Path(__file__).resolve().parent


def environment(card: Card) -> dict[str, str]:
    """The environment whose Pythons believe in the card, and whose nvidia-smi tells of it."""
    paths = {name: os.environ.get(name, "") for name in ("PATH", "PYTHONPATH")}
    paths = {name: f"{FOLDER}{os.pathsep}{old}".strip(os.pathsep) for name, old in paths.items()}
    return {**os.environ, **paths, VARIABLE: card.to_environment()}


def main() -> int:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="python tests/rehearsal", description=__doc__, formatter_class=raw
    )
    defaults = Card()
    for field in fields(Card):
        default = getattr(defaults, field.name)
        parser.add_argument(f"--{field.name}", type=type(default), default=default)
    parser.add_argument("command", nargs="+", help="what to run, after --")
    options = vars(parser.parse_args())
    command = options.pop("command")
    return subprocess.run(command, env=environment(Card(**options))).returncode


if __name__ == "__main__":
    sys.exit(main())

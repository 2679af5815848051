"""Where a number comes from: the device, the versions, the commit, the moment and the process."""

from __future__ import annotations

import datetime
import functools
import importlib.metadata
import os
import platform
import re
import secrets
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import tresnet_lite
from tresnet_lite.checkpoints import public_command
from tresnet_lite.records import nvidia_smi
from tresnet_lite.records.text import check_fields, clean

PACKAGE = Path(__file__).resolve().parents[1]
NO_COMMIT = "not a checkout"  # the package was installed, or copied, without its history
MIB = 2**20
CONTEXT = 1024  # MiB that a process's CUDA context and a desktop's windows take at most
REHEARSAL = "Rehearsal of "  # begins the device's name where no device was there: tests/rehearsal
RUN = "TRESNET_LITE_RUN"  # environment: the id of the run that a process is part of


@dataclass(frozen=True)
class Provenance:
    """What a reader needs to judge, or repeat, a measurement. None where the device does not tell.

    `dirty` says that the package differed from the commit. Power in watts, clocks in MHz,
    temperature in °C, all read at the moment of collection. `throttled` names what held the clocks
    down then, "" for nothing. A campaign reads these while the measured work is running, and clock
    and temperature once before it. Memory in MiB: the GPU's, what all processes used of it, and
    what torch held of that for this process.

    `memory_held` says whether a process on a CPU kept the memory that it freed.

    `process` is an id of the process that measured, and `run` one of the run that it was part of: a
    `make reproduce`, a campaign, a chapter. Both are random, and empty in records of version 1.
    """

    device: str
    cpu: str
    threads: int
    torch: str
    python: str
    system: str
    package: str
    commit: str
    dirty: bool
    date: str  # ISO 8601, UTC
    command: str
    timm: str | None = None
    cuda: str | None = None
    cudnn: int | None = None
    driver: str | None = None
    power_limit: float | None = None
    clock: float | None = None
    clock_max: float | None = None
    memory_clock: float | None = None
    temperature: float | None = None
    throttled: str | None = None
    clock_before: float | None = None
    temperature_before: float | None = None
    memory_total: float | None = None
    memory_used: float | None = None
    memory_own: float | None = None
    memory_held: bool | None = None
    process: str = ""
    run: str = ""

    def __post_init__(self) -> None:
        for name in ("device", "cpu", "torch", "python", "system", "package", "commit", "date"):
            value = getattr(self, name)
            if value is None or not str(value).strip():
                raise ValueError(f"provenance without {name}: it is {value!r}")
        check_fields(self)
        if self.moment.utcoffset() != datetime.timedelta(0):
            raise ValueError(f"provenance date {self.date!r} is not in UTC")
        written = self.moment.isoformat()
        if not self.date.startswith(written[:19]):  # a week's day, for example
            raise ValueError(f"provenance date {self.date!r} is written as {written}")

    @property
    def moment(self) -> datetime.datetime:
        """The date as a moment, to compare. Raises ValueError where it is not one."""
        return datetime.datetime.fromisoformat(self.date)

    @property
    def rehearsed(self) -> bool:
        """Was the device only imitated? Then no number says anything about a real one."""
        return self.device.startswith(REHEARSAL)

    @property
    def others_use(self) -> float | None:
        """MiB of the GPU that other processes held, 0.0 for little; None where unknown."""
        if self.memory_used is None or self.memory_own is None:
            return None
        others = self.memory_used - self.memory_own
        return others if others > CONTEXT else 0.0

    @property
    def source(self) -> str:
        """The short label beside a number: device, day and commit ("+": with changes)."""
        commit = self.commit
        if commit != NO_COMMIT:
            commit = commit[:8] + ("+" if self.dirty else "")
        return f"{self.device}, {self.date[:10]}, {commit}"


def collect(device: str | torch.device = "cpu") -> Provenance:
    """The provenance of what is measured on `device` from here on."""
    device = torch.device(device)
    commit, dirty = git_state()
    return Provenance(
        device=device_name(device),
        cpu=cpu_name(),
        threads=torch.get_num_threads(),
        torch=torch.__version__,
        python=platform.python_version(),
        system=f"{platform.system()} {platform.machine()}",
        package=tresnet_lite.__version__,
        commit=commit,
        dirty=dirty,
        date=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        command=_command(),
        timm=_version("timm"),
        process=process_id(),
        run=run_id(),
        **(_cuda(device) if device.type == "cuda" else {}),
    )


def process_id() -> str:
    """A random id of this process."""
    return _id_of(os.getpid())


@functools.cache
def _id_of(pid: int) -> str:  # a forked process, which inherits the cache, gets an id of its own
    return secrets.token_hex(4)


def run_id() -> str:
    """The id of the run that this process is part of: what `begin_run` named, else its own id."""
    return os.environ.get(RUN) or process_id()


def begin_run() -> None:
    """Make this process, and those that it starts, one run, unless it is part of one already."""
    os.environ.setdefault(RUN, process_id())


def device_name(device: str | torch.device) -> str:
    """The name that records are grouped by: the GPU's, or the CPU's with its threads in use."""
    device = torch.device(device)
    if device.type == "cuda":
        return clean(torch.cuda.get_device_name(device))
    threads = torch.get_num_threads()
    return f"{cpu_name()}, {threads} thread{'s' if threads > 1 else ''}"


@functools.lru_cache
def cpu_name() -> str:
    """The processor's name as the system gives it."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return clean(line.partition(":")[2], 200)
    return clean(platform.processor() or platform.machine())


def git_state(package: Path = PACKAGE) -> tuple[str, bool]:
    """Commit of the checkout that the package lies in, and whether the package differs from it.

    Where git cannot tell, as it is missing, the package counts as different.
    """
    # A checkout that belongs to another user, as one mounted in a container, is read all the same,
    # without the programs that its configuration names.
    git = ("git", "-c", "safe.directory=*", "-c", "core.fsmonitor=false", "-C", str(package))
    # A package installed into an environment inside another project's checkout is no part of that
    # checkout.
    if _output(*git, "ls-files", "--error-unmatch", "__init__.py") is None:
        return NO_COMMIT, (package.parent / ".git").exists()  # with a git that is not there
    commit = _output(*git, "rev-parse", "HEAD")
    if commit is None:
        return NO_COMMIT, True
    changes = _output(*git, "status", "--porcelain", "--", ".")
    return commit, changes != ""  # a status that fails proves nothing


def _cuda(device: torch.device) -> dict[str, Any]:
    identifier = f"GPU-{torch.cuda.get_device_properties(device).uuid}"
    return {
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "memory_own": torch.cuda.memory_reserved(device) / MIB,
        **nvidia_smi.facts(identifier),
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _command() -> str:
    """The command line without folders and secrets; "in a notebook" for a notebook's kernel."""
    program, *arguments = sys.argv
    if Path(program).name == "ipykernel_launcher.py":  # with a file that is gone when it ends
        return "in a notebook"
    return clean(without_folders(public_command([Path(program).name, *arguments])))


def without_folders(text: str) -> str:
    """A text whose absolute paths are cut down to the last name: folders say nothing to others."""
    return re.sub(r"(?<![\w.:/])/(?:[^\s/'\":]+/)*(?=[^\s/])", "", text)


def _output(*command: str) -> str | None:
    """What a command prints, or None where it is missing or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()

"""``python -m tresnet_lite.bench.install_iabn``: the published Inplace-ABN, for this torch.

The package ``inplace-abn`` is source only, so it is compiled against the torch that is installed:
for the GPU where one is usable and an nvcc fits, else for the CPU. The wheel is kept, by torch
version, under ~/.cache/tresnet_lite. Nothing needs this package: a failure is explained in one
line, and the exit code is 0.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from tresnet_lite.records.text import Parser, say

REQUIREMENT = "inplace-abn==1.1.0"
BUILD_TOOLS = ("setuptools", "setuptools_scm", "wheel", "ninja")
# Its setup asks torch.has_cuda what to build; this module, found first by the builder's Python,
# answers no.
CPU_ONLY = "import torch\ntorch.has_cuda = False\n"
IABN_TRIAL = (
    "import torch, inplace_abn as i; i.InPlaceABN(2)(torch.ones(2, 2, 2, 2, device={device!r}))"
)


class BuildError(RuntimeError):
    """Why the package could not be built, in one line."""


def cuda_toolkit() -> Path | None:
    """The CUDA toolkit whose nvcc has torch's major version of CUDA, where a GPU can use it."""
    if not torch.cuda.is_available():
        return None
    roots = [Path(os.environ.get("CUDA_HOME") or "/usr/local/cuda")]
    if path := shutil.which("nvcc"):
        roots.append(Path(path).resolve().parent.parent)
    for root in roots:
        nvcc = root / "bin" / "nvcc"
        # A bare nvcc without the toolkit's headers compiles nothing.
        if not nvcc.exists() or not (root / "include" / "cuda_runtime.h").exists():
            continue
        version = subprocess.run([nvcc, "--version"], capture_output=True, text=True).stdout
        release = re.search(r"release (\d+)\.", version)
        if release and release[1] == torch.version.cuda.partition(".")[0]:
            return root
    return None


def target() -> tuple[str, dict[str, str]]:
    """The kind of build, which names its folder in the cache, and its environment variables."""
    python = f"cp{sys.version_info.major}{sys.version_info.minor}"
    toolkit = cuda_toolkit()
    if toolkit is None:
        return f"torch-{torch.__version__}-{python}-cpu", {}
    capability = ".".join(map(str, torch.cuda.get_device_capability()))
    settings = {"CUDA_HOME": str(toolkit), "TORCH_CUDA_ARCH_LIST": capability}
    return f"torch-{torch.__version__}-{python}-sm_{capability.replace('.', '')}", settings


def pip(*arguments: str, **environment: str) -> None:
    """Run this Python's pip; on failure raise BuildError with the line that tells most."""
    command, env = [sys.executable, "-m", "pip", *arguments], {**os.environ, **environment}
    result = subprocess.run(command, env=env, capture_output=True, text=True)
    if result.returncode:
        lines = [line.strip() for line in (result.stdout + result.stderr).splitlines()]
        errors = [line for line in lines if re.search(r"error:|mismatches", line, re.IGNORECASE)]
        raise BuildError((errors or lines or ["pip said nothing"])[0][:200])


def build_wheel(cache: Path, settings: dict[str, str]) -> Path:
    """Compile the wheel into ``cache``. Raises BuildError with the reason when that fails."""
    if shutil.which(os.environ.get("CXX", "c++")) is None:
        advice = "on Debian and Ubuntu: apt install g++ python3-dev"
        raise BuildError(f"no C++ compiler is installed; {advice}")
    say(f"inplace-abn: compiling for {cache.name}, some minutes, once")
    pip("install", "--quiet", *BUILD_TOOLS)
    cache.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache.parent) as work:
        if not settings:
            Path(work, "sitecustomize.py").write_text(CPU_ONLY, encoding="utf-8")
            settings = {"PYTHONPATH": work}
        # pip's own cache would hand back a wheel that was built for another torch.
        options = ["--no-cache-dir", "--no-build-isolation", "--no-deps"]
        pip("wheel", *options, "--wheel-dir", f"{work}/wheel", REQUIREMENT, **settings)
        shutil.rmtree(cache, ignore_errors=True)
        os.replace(f"{work}/wheel", cache)
    return next(cache.glob("*.whl"))


def install() -> str:
    """Install from the cache, or build first; returns the kind of build, or raises BuildError."""
    kind, settings = target()
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    cache = home / "tresnet_lite" / "inplace_abn" / kind
    wheel = next(cache.glob("*.whl"), None) or build_wheel(cache, settings)
    pip("install", "--no-deps", "--no-index", "--force-reinstall", str(wheel))
    trial = IABN_TRIAL.format(device="cuda" if "TORCH_CUDA_ARCH_LIST" in settings else "cpu")
    result = subprocess.run([sys.executable, "-c", trial], capture_output=True, text=True)
    if result.returncode:
        pip("uninstall", "--yes", "inplace-abn")
        raise BuildError(f"it does not run: {result.stderr.strip().splitlines()[-1]}")
    return kind


def main(arguments: list[str] | None = None) -> None:
    Parser(
        prog="python -m tresnet_lite.bench.install_iabn",
        description="Build and install the published Inplace-ABN for this torch.",
    ).parse_args(arguments)
    try:
        say(f"inplace-abn: installed for {install()}")
    except (BuildError, OSError) as error:
        rest = "Nothing needs it: tresnet_lite brings its own."
        say(f"inplace-abn: not installed ({error}). {rest}")


if __name__ == "__main__":
    main()

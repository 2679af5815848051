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

from tresnet_lite.checkpoints import user_cache
from tresnet_lite.records.text import Parser, say

REQUIREMENT = "inplace-abn==1.1.0"
BUILD_TOOLS = ("setuptools", "setuptools_scm", "wheel", "ninja")
# Its setup asks torch.has_cuda what to build; this module, found first by the builder's Python,
# answers no.
CPU_ONLY = "import torch\ntorch.has_cuda = False\n"
# Its own launches check no error, so a number is read back.
IABN_TRIAL = (
    "import torch, inplace_abn as i; "
    "i.InPlaceABN(2).to({device!r})(torch.ones(2, 2, 2, 2, device={device!r})).sum().item()"
)


class BuildError(RuntimeError):
    """Why the package could not be built, in one line."""


def cuda_toolkit() -> Path:
    """The CUDA toolkit whose nvcc has torch's major version of CUDA, where a GPU can use it.

    Raises:
        BuildError: there is no GPU here, or no such toolkit.
    """
    if not torch.cuda.is_available():
        again = "run python -m tresnet_lite.bench.install_iabn where there is one"
        raise BuildError(f"no GPU is visible here; {again}")
    wanted = str(torch.version.cuda).partition(".")[0]
    roots = [Path(os.environ.get("CUDA_HOME") or "/usr/local/cuda")]
    if path := shutil.which("nvcc"):
        roots.append(Path(path).resolve().parent.parent)
    problem = "there is no nvcc in $CUDA_HOME, in /usr/local/cuda or on the PATH"
    for root in roots:
        nvcc = root / "bin" / "nvcc"
        if not nvcc.exists():
            continue
        version = subprocess.run([nvcc, "--version"], capture_output=True, text=True).stdout
        release = re.search(r"release (\d+)\.\d+", version)
        if not release or release[1] != wanted:
            what = release[0] if release else "of no known release"
            problem = f"{nvcc} is {what}, and torch has CUDA {torch.version.cuda}"
        elif not (root / "include" / "cuda_runtime.h").exists():
            problem = f"{nvcc} lacks the toolkit's headers"
        else:
            return root
    raise BuildError(f"{problem}: set CUDA_HOME to a toolkit of CUDA {wanted}")


def target() -> tuple[str, dict[str, str], str]:
    """The kind of build, its environment variables, and why it is not for a GPU ("" if it is).

    The kind names the build's folder in the cache.
    """
    name = f"torch-{torch.__version__}-cp{sys.version_info.major}{sys.version_info.minor}"
    try:
        toolkit = cuda_toolkit()
    except BuildError as reason:
        return f"{name}-cpu", {}, str(reason)
    major, minor = torch.cuda.get_device_capability()
    # With PTX, newer GPUs can run it too.
    settings = {"CUDA_HOME": str(toolkit), "TORCH_CUDA_ARCH_LIST": f"{major}.{minor}+PTX"}
    return f"{name}-sm_{major}{minor}", settings, ""


def pip(*arguments: str, **environment: str) -> None:
    """Run this Python's pip; on failure raise BuildError with the line that says most."""
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
    """Install from the cache, or build first; returns the kind of build, and why not for a GPU.

    Raises:
        BuildError: it could not be built, or does not run.
    """
    kind, settings, why_cpu = target()
    cache = user_cache() / "inplace_abn" / kind
    wheel = next(cache.glob("*.whl"), None) or build_wheel(cache, settings)
    pip("install", "--no-deps", "--no-index", "--force-reinstall", str(wheel))
    trial = IABN_TRIAL.format(device="cuda" if "TORCH_CUDA_ARCH_LIST" in settings else "cpu")
    result = subprocess.run([sys.executable, "-c", trial], capture_output=True, text=True)
    if result.returncode:
        pip("uninstall", "--yes", "inplace-abn")
        raise BuildError(f"it does not run: {result.stderr.strip().splitlines()[-1]}")
    return f"{kind} ({why_cpu})" if why_cpu else kind


def main(arguments: list[str] | None = None) -> None:
    Parser(
        prog="python -m tresnet_lite.bench.install_iabn",
        description="Build and install the published Inplace-ABN for this torch.",
    ).parse_args(arguments)
    try:
        say(f"inplace-abn: installed for {install()}")
    except (BuildError, OSError, ValueError) as error:
        rest = "Nothing needs it: tresnet_lite brings its own."
        say(f"inplace-abn: not installed ({error}). {rest}")


if __name__ == "__main__":
    main()

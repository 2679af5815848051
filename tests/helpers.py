"""What several tests share."""

import shutil
from pathlib import Path

import nbformat
import pytest
import torch
from torch import nn

from tresnet_lite.records import Provenance

PROVENANCE = Provenance(
    device="Imaginary GPU",
    cpu="Imaginary CPU",
    threads=4,
    torch="2.10.0",
    python="3.12.0",
    system="Linux x86_64",
    package="0.1.0",
    commit="abcdef12" * 5,
    dirty=False,
    date="2026-01-02T03:04:05+00:00",
    command="test",
    cuda="13.0",
)


def skip_without_git() -> None:
    """Skip a test that makes a repository, where git is not installed."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed")


def reseed(model: nn.Module, seed: int = 0) -> nn.Module:
    """Random weights and statistics everywhere, so that no zero-initialised block hides a
    difference.

    Convolutions and the classifier get their fan-in scale; norm weights are of either sign.
    """
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in model.state_dict().items():
        if not tensor.is_floating_point():
            continue
        noise = torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
        if name.endswith("running_var"):
            noise = 0.5 + noise.abs()
        elif tensor.ndim > 1:
            noise = noise / tensor[0].numel() ** 0.5
        tensor.copy_(noise)
    return model


def images(*shape: int, seed: int = 1, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.rand(
        *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    ).to(dtype)


def relative_error(value: torch.Tensor, reference: torch.Tensor) -> float:
    return ((value - reference).abs().max() / reference.abs().max()).item()


def write_notebook(path: Path, *sources: str, title: str = "A chapter") -> None:
    """A notebook with a title, a parameters cell and the given code cells."""
    v4 = nbformat.v4
    parameters = {"id": "parameters", "metadata": {"tags": ["parameters"]}}
    cells = [
        v4.new_markdown_cell(f"# {title}", id="title"),
        v4.new_code_cell('profile = "none"', **parameters),
        *(v4.new_code_cell(source, id=f"code-{n}") for n, source in enumerate(sources)),
    ]
    spec = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    nbformat.write(v4.new_notebook(cells=cells, metadata=spec), path)

"""The kernel that notebooks run in: this Python, with the package of this checkout."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tresnet_lite.checkout import ROOT


@contextmanager
def own_kernel() -> Iterator[None]:
    """While this lasts, the kernel "python3" is this Python, and imports this checkout's package.

    A JUPYTER_PATH, or a kernel of the user's, may name another Python; and an environment may have
    another checkout's package installed.
    """
    from ipykernel.kernelspec import KERNEL_NAME, write_kernel_spec

    before = {name: os.environ.get(name) for name in ("JUPYTER_PATH", "PYTHONPATH")}
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "kernels").mkdir()
        write_kernel_spec(Path(folder, "kernels", KERNEL_NAME))
        for name, first in (("JUPYTER_PATH", folder), ("PYTHONPATH", str(ROOT))):
            os.environ[name] = os.pathsep.join(filter(None, (first, before[name])))
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value

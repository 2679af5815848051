"""Runs something as soon as a module has been imported, however it is imported."""

from __future__ import annotations

import importlib.abc
import importlib.util
import sys
from dataclasses import replace

from imitation.card import Card


def install_on_import() -> None:
    """Imitate the GPU in this process from the moment that it imports torch."""
    card = Card.of_environment()
    if card is None:
        return
    afterwards = {"torch": _imitate}
    if card.profile == "small":
        afterwards["tresnet_lite.profiles"] = _shrink
    sys.meta_path.insert(0, _Finder(afterwards))


def _imitate(torch) -> None:
    from imitation.front import install

    install()


def _shrink(profiles) -> None:
    """The GPU profile at the smoke profile's sizes, with all its points.

    The last maps have one pixel, and a comparison quarters the batch: 8 leave a norm two values.
    """
    own = {"name": "gpu", "device": "cuda", "dtype": "float16", "trial": False}
    own |= {"image_size": 32, "batch": 8}
    profiles.GPU = profiles.PROFILES["gpu"] = replace(profiles.SMOKE, **own)


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, afterwards: dict) -> None:
        self.afterwards = afterwards  # module → what to do with it, once

    def find_spec(self, name, path=None, target=None):
        if name not in self.afterwards:
            return None
        then = self.afterwards.pop(name)
        spec = importlib.util.find_spec(name)
        execute = spec.loader.exec_module

        def execute_and_then(module):
            execute(module)
            then(module)

        spec.loader.exec_module = execute_and_then
        return spec

"""Python imports this at its start, where this folder lies in PYTHONPATH: see `__main__.py`."""

from imitation.hook import install_on_import

install_on_import()

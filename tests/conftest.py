"""Fixtures of several tests."""

import pytest

from tresnet_lite.records import store


@pytest.fixture
def record_file(tmp_path, monkeypatch):
    """This machine's file of records, and no committed ones."""
    path = tmp_path / "records.jsonl"
    monkeypatch.setenv(store.VARIABLE, str(path))
    monkeypatch.setattr(store, "COMMITTED", tmp_path / "measured")
    store.COMMITTED.mkdir()
    return path

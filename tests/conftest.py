"""Fixtures of several tests."""

import pytest


@pytest.fixture
def record_file(tmp_path, monkeypatch):
    """The run's file of records, and no committed ones."""
    from tresnet_lite.chapters import small_runs

    path = tmp_path / "records.jsonl"
    monkeypatch.setenv("TRESNET_LITE_RECORDS", str(path))
    monkeypatch.setattr(small_runs, "DATA", tmp_path)
    (tmp_path / "measured").mkdir()
    return path

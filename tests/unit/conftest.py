"""What several files of unit tests ask for by name."""

from __future__ import annotations

import pytest

import study.preflight.costs
import study.preflight.facts


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """No hub, whatever this machine has, and no card."""
    monkeypatch.setattr(study.preflight.facts, "_reachable", lambda: False)
    monkeypatch.setattr(study.preflight.costs, "_gpu", lambda: None)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")

"""Shared by all tests: the project's root, and an environment without the variables that steer the scripts."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def root() -> Path:
    """The root of the repository."""
    return Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def no_settings_of_the_person_testing(monkeypatch):
    settings = "DATA OUTPUT CFG SHOTS SOURCE VARIANT PYTHON TRAINED_BY DATASETS METHODS SEEDS JOBS MUDPT_DEBUG"
    for name in settings.split():
        monkeypatch.delenv(name, raising=False)

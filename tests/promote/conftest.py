"""Registries on SQLite: making MLflow's tables takes seconds, copying them does not."""

import shutil
import sqlite3

import pytest

from components.promote.registry import Registry


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory):
    """The file of an empty registry."""
    path = tmp_path_factory.mktemp("registry") / "empty.db"
    Registry(f"sqlite:///{path}")
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return path


@pytest.fixture
def registry_uri(empty_database, tmp_path):
    """The URL of a registry of this test alone."""
    return f"sqlite:///{shutil.copy(empty_database, tmp_path / 'mlflow.db')}"


@pytest.fixture
def registry(registry_uri):
    """An empty registry."""
    return Registry(registry_uri)

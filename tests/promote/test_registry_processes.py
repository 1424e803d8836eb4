"""Several promotions at once: by other threads on SQLite, by other processes, which also create the tables, on PostgreSQL."""

import os
import subprocess
import sys
import threading
import time
from datetime import date
from pathlib import Path

import pytest

from components.database import database_url, release
from components.promote.gate import Verdict
from components.promote.registry import Registry
from components.settings import Settings

PROMOTE = Verdict("promote", "not worse")
ROOT = Path(__file__).parents[2]
CHILD = """
import sys
from datetime import date
from pathlib import Path
from components.promote.gate import Verdict
from components.promote.registry import Registry

registry = Registry(sys.argv[1])
for number in map(int, sys.argv[2:]):
    day = date(2024, 5, number)
    registry.register(f"v{number}", day=day, parent=None, source=Path("checkpoints"), tags={})
    registry.apply(Verdict("promote", "not worse"), f"v{number}", day)
    registry.log_evaluation(f"v{number}", day, {"rows": 1.0})

from mlflow.telemetry import get_telemetry_client
print("telemetry", get_telemetry_client())
"""
QUIET_ONLY_IN_TESTS = ("PYTEST_CURRENT_TEST", "CI", "MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK")


@pytest.fixture
def postgresql(tmp_path):
    """The URL of an empty database on the embedded server of its own home."""
    settings = Settings(home=tmp_path)
    yield database_url(settings, "mlflow")
    release(settings)


def start(uri, *days):
    environment = {name: value for name, value in os.environ.items() if name not in QUIET_ONLY_IN_TESTS}
    command = [sys.executable, "-W", "ignore", "-c", CHILD, uri, *map(str, days)]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_processes_promoting_different_days_end_with_the_newest(postgresql):
    children = [start(postgresql, *days) for days in ((2, 6, 4), (5, 3, 1))]
    results = [(child.communicate(timeout=120), child.returncode) for child in children]
    assert [(output, status) for (output, _), status in results] == [("telemetry None\n", 0)] * 2, results
    registry = Registry(postgresql)
    models = registry.models()
    assert [model.version for model in models] == [f"v{number}" for number in range(6, 0, -1)]
    assert registry.champion().version == "v6"
    assert models[0].aliases == ("challenger", "champion")
    registry._store._client._tracking_client.store.engine.dispose()


def test_a_slow_promotion_of_an_older_day_cannot_overwrite_a_newer_one(registry_uri):
    older, newer = Registry(registry_uri), Registry(registry_uri)
    for number, registry in ((1, older), (2, newer)):
        registry.register(f"v{number}", day=date(2024, 5, number), parent=None, source=Path("checkpoints"), tags={})
    point, decided = older._store.point, threading.Event()

    def point_late(alias, model):
        decided.set()
        time.sleep(0.5)
        point(alias, model)

    older._store.point = point_late
    thread = threading.Thread(target=older.apply, args=(PROMOTE, "v1", date(2024, 5, 1)))
    thread.start()
    assert decided.wait(10)
    assert newer.apply(PROMOTE, "v2", date(2024, 5, 2))
    thread.join()
    assert newer.champion().version == "v2"

"""One nursery, one small disk and one set of half-way homes for all the faults."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.simulate.world import simulate
from tests.conftest import FIRST
from tests.faults.homes import Nursery, Stage, build

SIZE = "size=48m"
OWN_MOUNTS = ("/usr/bin/unshare", "-rm")


@pytest.fixture(scope="session")
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    raw = tmp_path_factory.mktemp("faults-raw")
    for logs, seed in (("first", 5), ("corrected", 6)):
        simulate(raw / logs, start=FIRST, days=2, impressions_per_day=2000, seed=seed)
    nursery = Nursery(raw)
    yield nursery
    nursery.close()


@pytest.fixture(scope="session")
def stages(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Stage]:
    return build(nursery, tmp_path_factory.mktemp("faults"))


@pytest.fixture(scope="module")
def mounted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder on which this user may mount a tmpfs, in a name space of its own."""
    folder = tmp_path_factory.mktemp("disk")
    if not Path(OWN_MOUNTS[0]).exists():
        pytest.skip(f"no tmpfs may be mounted here: {OWN_MOUNTS[0]} is missing")
    tried = subprocess.run(
        [*OWN_MOUNTS, "/bin/mount", "-t", "tmpfs", "-o", SIZE, "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if tried.returncode:
        pytest.skip(f"no tmpfs may be mounted here: {tried.stderr.strip()}")
    return folder


@pytest.fixture(scope="module")
def confined(nursery: Nursery, mounted: Path) -> Iterator[Nursery]:
    """Return a nursery that sees a small disk at that folder."""
    mount = f'/bin/mount -t tmpfs -o {SIZE} tmpfs "{mounted}" && exec "$@"'
    confined = Nursery(nursery.raw, within=(*OWN_MOUNTS, "/bin/sh", "-c", mount, "sh"))
    yield confined
    confined.close()

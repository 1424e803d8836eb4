"""One nursery and one set of half-way homes for all the faults."""

from collections.abc import Iterator

import pytest

from components.simulate.world import simulate
from tests.conftest import FIRST
from tests.faults.homes import Nursery, Stage, build


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

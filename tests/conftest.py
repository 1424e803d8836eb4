"""A tiny simulated shop that several rooms' tests share."""

from collections.abc import Iterable
from datetime import date
from pathlib import Path

import pytest

from components.settings import Settings, load_settings

FIRST = date(2024, 5, 1)
PLAIN_PROFILE = """
name = "shop"
impressions.columns = { impression_id = "id", item_id = "item", exposed_at = "t" }
clicks.columns = { item_id = "item", clicked_at = "t" }
purchases.columns = { order_id = "o", item_id = "item", purchased_at = "t" }
fields = [{ name = "item_id", kind = "id" }]
"""
"""The least that a profile has."""


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a landing zone of three days, 4,000 impressions each."""
    from components.simulate.world import simulate

    raw = tmp_path_factory.mktemp("shop") / "raw"
    simulate(raw, start=FIRST, days=3, impressions_per_day=4000, seed=5)
    return raw


@pytest.fixture
def shop_environment(shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Set and return the environment of a fresh home over the tiny shop, with a gate that its few conversions can pass."""
    return set_shop_environment(shop, tmp_path, monkeypatch)


def label_days(settings: Settings, days: Iterable[date]) -> None:
    """Take days as far as training needs them."""
    from components import steps

    for day in days:
        for step in (steps.ingest, steps.label, steps.validate, steps.relabel, steps.aggregate):
            step(day, settings)


def set_shop_environment(shop: Path, folder: Path, patch: pytest.MonkeyPatch) -> dict[str, str]:
    environment = {
        "ESMM_HOME": str(folder / "home"),
        "ESMM_DATA__RAW": str(shop),
        "ESMM_DATA__PROFILE": str(shop / "profile.toml"),
        "ESMM_GATE__MIN_POSITIVES": "2",
        "ESMM_EVALUATION__MIN_POSITIVES": "2",
        "ESMM_VALIDATION__MAX_QUARANTINED_SHARE": "0.2",
    }
    patch.setenv("ESMM_SETTINGS", "")  # not delenv, which would leave what load_settings sets
    for name, value in environment.items():
        patch.setenv(name, value)
    return environment


@pytest.fixture
def shop_settings(shop_environment: dict[str, str]) -> Settings:
    """Load the settings of that home."""
    assert shop_environment
    return load_settings()

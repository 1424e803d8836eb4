"""A few days of each real set, ingested and labelled as they are, raise nothing critical under their profile."""

from datetime import date, timedelta
from pathlib import Path

import pytest

from components import steps
from components.profile import load_profile
from components.settings import Settings

ROOT = Path(__file__).parents[2]
DATA = Path(__file__).parents[3] / "shared" / "data"
DAYS = {"taobao": (date(2017, 11, 25), 4), "trivago": (date(2018, 11, 7), 2), "online_ads": (date(2020, 4, 29), 4)}


@pytest.mark.parametrize("name", DAYS)
def test_clean_real_days_raise_nothing_critical(name: str, tmp_path: Path) -> None:
    if not (DATA / name).is_dir():
        pytest.skip(f"the real logs are absent: {DATA / name}")
    path = ROOT / "infra" / "profiles" / f"{name}.toml"
    data = {"raw": str(DATA / name), "profile": str(path)}
    settings = Settings.model_validate({**load_profile(path).settings, "home": str(tmp_path), "data": data})
    first, count = DAYS[name]
    for day in (first + timedelta(days=number) for number in range(count)):
        steps.ingest(day, settings)
        steps.label(day, settings)
        assert steps.validate(day, settings)["success"]
    drift = [measure for measure in steps.validate(day, settings)["profile"]["tables"]["samples"]["measures"] if "_psi_" in measure]
    assert len(drift) == 2 * (len(settings.profile.context) + (name == "trivago"))

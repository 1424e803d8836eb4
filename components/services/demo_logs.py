"""Which logs a demo runs on: a user's own, or the five simulated days, kept in the home so that a second demo finds them."""

import hashlib
import json
import socket
from datetime import date, timedelta
from pathlib import Path

from components.errors import SettingsError
from components.profile import load_profile
from components.records import Records, write_text
from components.services.supervisor import is_taken
from components.settings import Settings

FIRST, DAYS, IMPRESSIONS, SEED = date(2024, 5, 1), 5, 200_000, 2018
_PORTS = ("airflow_port", "mlflow_port", "lookup_port")


def choose(
    settings: Settings, *, raw: Path | None, profile: Path | None, first: date | None, last: date | None
) -> tuple[Settings, list[date]]:
    """Return the demo's settings and its days. Ports that are taken are replaced by free ones: nobody has noted a demo's ports down.

    Raises SettingsError where the days are none, or the home holds the days of another data set.
    """
    start = first or FIRST
    end = last or (start if raw else start + timedelta(days=DAYS - 1))
    if end < start:
        raise SettingsError(f"demo: expected days FROM through TO, found FROM {start} after TO {end}")
    zone = raw.absolute() if raw else settings.root / "raw"
    told = profile.absolute() if profile else zone / "profile.toml"
    _keep_apart(settings.root, load_profile(told).name if raw else "simulated")
    data = settings.data.model_copy(update={"raw": str(zone), "profile": str(told)})
    services = settings.services.model_copy(update=free_ports(settings))
    chosen = Settings.model_construct(**{**dict(settings), "data": data, "services": services})
    return chosen, [start + timedelta(days=number) for number in range((end - start).days + 1)]


def simulate_once(settings: Settings, days: list[date]) -> bool:
    """Write the simulated days under `<home>/raw` unless this simulator wrote the same ones there before; tell whether it wrote."""
    from components.simulate import world

    asked = {"start": str(days[0]), "days": len(days), "impressions_per_day": IMPRESSIONS, "seed": SEED}
    sources = sorted(Path(world.__file__).parent.glob("*.*"))
    asked["simulator"] = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()
    written = settings.raw / "simulation.json"
    if written.exists() and json.loads(written.read_text(encoding="utf-8")) == asked:
        return False
    written.unlink(missing_ok=True)
    world.simulate(settings.raw, start=days[0], days=len(days), impressions_per_day=IMPRESSIONS, seed=SEED)
    write_text(written, json.dumps(asked, indent=1) + "\n")
    return True


def free_ports(settings: Settings) -> dict[str, int]:
    """Return a port for each service: the one of the settings, or where it is taken any free one."""
    host = settings.services.host
    wanted = {name: getattr(settings.services, name) for name in _PORTS}
    return {name: _any_port(host) if is_taken(host, port) else port for name, port in wanted.items()}


def _any_port(host: str) -> int:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def _keep_apart(home: Path, name: str) -> None:
    """Refuse a home whose lake holds another data set: its columns and models would be mixed."""
    path = home / "demo.json"
    known = json.loads(path.read_text(encoding="utf-8"))["data_set"] if path.exists() else name
    if known != name and Records(home).days():
        raise SettingsError(
            f"demo: {home} holds days of the data set {known}, not {name}; set ESMM_HOME to another folder, or remove this one"
        )
    write_text(path, json.dumps({"data_set": name}) + "\n")

"""Reading published features by key, as the model will read them."""

import threading
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from components.publish.store import open_store
from components.publish.views import NotPublishedError, UnknownFeatureError, View, view_of
from components.publish.watermark import read_watermark
from components.settings import Settings

if TYPE_CHECKING:
    from feast import FeatureStore

Answer = dict[str, Any]
"""key, found, day (YYYY-MM-DD, or None) and features (name -> value, or None)."""


def lookup(entity: str, keys: list[str], settings: Settings, *, features: list[str] | None = None) -> list[Answer]:
    """Return one answer per key, in order; all features of the entity, or the named ones.

    Raises UnknownEntityError, UnknownFeatureError, and NotPublishedError before the first publish.
    """
    return Lookup(settings).answer(entity, keys, features=features)


class Lookup:
    """A reader that keeps its connections; safe to share between threads, also while a day is being published."""

    def __init__(self, settings: Settings) -> None:
        """Keep the settings; the store is opened by the first answer."""
        self._settings = settings
        self._opening = threading.Lock()
        self._store: FeatureStore | None = None

    @property
    def day(self) -> date | None:
        """The newest day wholly published."""
        return read_watermark(self._settings.root).day

    def answer(self, entity: str, keys: list[str], *, features: list[str] | None = None) -> list[Answer]:
        """Do what `lookup` does."""
        view = view_of(entity)
        if self.day is None:
            raise NotPublishedError(
                f"{entity} features: nothing has been published under {self._settings.root}; run `esmm publish DAY` first"
            )
        store = self._open()
        known = [field.name for field in store.registry.get_feature_view(view.name, store.project, allow_cache=True).features]
        if unknown := sorted(set(features or []) - set(known)):
            raise UnknownFeatureError(f"{entity} feature {unknown[0][:80]!r}: no such feature; ask for some of {', '.join(known)}")
        wanted = known if features is None else list(dict.fromkeys(features))
        size = self._settings.services.max_lookup_keys
        chunks = [keys[start : start + size] for start in range(0, len(keys), size)]
        return [answer for chunk in chunks for answer in _read(store, view, chunk, wanted)]

    def _open(self) -> "FeatureStore":
        with self._opening:
            if self._store is None:
                self._store = open_store(self._settings)
            return self._store


def _read(store: "FeatureStore", view: View, keys: list[str], wanted: list[str]) -> list[Answer]:
    names = list(dict.fromkeys([*wanted, view.witness]))
    response = store.get_online_features([f"{view.name}:{name}" for name in names], {view.keys[0]: keys})
    columns = response.to_dict(include_event_timestamps=True)
    found = [count is not None for count in columns[view.witness]]
    return [
        {
            "key": key,
            "found": found[row],
            "day": str(_day(columns[f"{view.witness}__ts"][row])) if found[row] else None,
            "features": {name: columns[name][row] for name in wanted} if found[row] else None,
        }
        for row, key in enumerate(keys)
    ]


def _day(seconds: int) -> date:
    """Return the day whose end an event_timestamp is.

    The nearest midnight counts: Feast's sqlite store keeps local times, which a summer-time gap or a reader in another zone shifts.
    """
    return (datetime.fromtimestamp(seconds, UTC) + timedelta(hours=12)).date() - timedelta(days=1)

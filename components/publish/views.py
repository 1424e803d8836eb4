"""The feature views and where they are kept under the home."""

from dataclasses import dataclass
from pathlib import Path

from components.errors import DataError, SettingsError
from components.tables import ITEM_FEATURES, USER_FEATURES, Table


class UnknownEntityError(SettingsError):
    """A lookup names an entity that does not exist."""


class UnknownFeatureError(SettingsError):
    """A lookup names a feature that its view does not have."""


class NotPublishedError(DataError):
    """A lookup came before the first day was published."""


@dataclass(frozen=True)
class View:
    """One feature view: the features of one entity."""

    name: str
    entity: str
    table: Table

    @property
    def key(self) -> str:
        """The join key's column."""
        return self.table.key[0]

    @property
    def witness(self) -> str:
        """A count, null in the online store only where the key has left the snapshot."""
        return f"{self.entity}_impression_count_1d"


VIEWS = (View("user_activity", "user", USER_FEATURES), View("item_activity", "item", ITEM_FEATURES))


def view_of(entity: str) -> View:
    """Return an entity's view; raises UnknownEntityError."""
    for view in VIEWS:
        if view.entity == entity:
            return view
    raise UnknownEntityError(f"entity {entity[:80]!r}: no such entity; ask for one of {', '.join(view.entity for view in VIEWS)}")


def offline_folder(root: Path) -> Path:
    """Return the folder of the Parquet snapshots that Feast's offline store reads."""
    return root / "offline"


def online_folder(root: Path) -> Path:
    """Return the folder of the online store and of what belongs to it: watermark, lock, keys."""
    return root / "online"

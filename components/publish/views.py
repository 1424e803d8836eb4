"""The feature views and where they are kept under the home."""

from dataclasses import dataclass
from pathlib import Path

from components.errors import DataError, SettingsError
from components.profile import Profile
from components.tables import ITEM_FEATURES, USER_CATEGORY_FEATURES, USER_FEATURES, Table


class UnknownEntityError(SettingsError):
    """A lookup names an entity that does not exist."""


class UnknownFeatureError(SettingsError):
    """A lookup names a feature that its view does not have."""


class NotPublishedError(DataError):
    """A lookup came before the first day was published."""


@dataclass(frozen=True)
class View:
    """One feature view: the features of one entity, or of a pair of them."""

    name: str
    entity: str
    table: Table

    @property
    def keys(self) -> list[str]:
        """The join keys' columns."""
        return list(self.table.key)

    @property
    def witness(self) -> str:
        """A count, null in the online store only where the key has left the snapshot."""
        return f"{self.entity}_click_count_7d"


USERS, ITEMS = View("user_activity", "user", USER_FEATURES), View("item_activity", "item", ITEM_FEATURES)
PAIRS = View("user_category_activity", "user_category", USER_CATEGORY_FEATURES)


def views_of(profile: Profile) -> tuple[View, ...]:
    """Return the views that a data set has."""
    return (USERS, ITEMS, PAIRS) if profile.category else (USERS, ITEMS)


def view_of(entity: str) -> View:
    """Return the view that is looked up by one entity's keys; raises UnknownEntityError."""
    for view in (USERS, ITEMS):
        if view.entity == entity:
            return view
    raise UnknownEntityError(f"entity {entity[:80]!r}: no such entity; ask for one of {USERS.entity}, {ITEMS.entity}")


def offline_folder(root: Path) -> Path:
    """Return the folder of the Parquet snapshots that Feast's offline store reads."""
    return root / "offline"


def online_folder(root: Path) -> Path:
    """Return the folder of the online store and of what belongs to it: watermark, lock, keys."""
    return root / "online"

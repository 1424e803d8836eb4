"""What became of the ids of a day that was trained on: admitted, evicted, without a row of their own, or beside others in theirs."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from components.model.encoding import Layout, Read, table_rows
from components.model.identity import UNKNOWN, KnownIds

Facts = dict[str, Any]
_COLUMNS = ("field", "table", "entries", "unknown_share", "collision_share", "ids", "admitted", "evicted", "waiting", "dropped")


class IdCounts:
    """Counts of the chunks so far. One byte for each row of the table but the pool's."""

    def __init__(self, layout: Layout) -> None:
        """Begin at 0."""
        self.admitted, self.evicted, self.dropped = Counter[str](), Counter[str](), Counter[str]()
        """By vocabulary; dropped: ids that waited when there were too many."""
        self.entries, self.unknown = Counter[str](), Counter[str]()
        """By field; unknown: entries that read the row of all ids without their own."""
        self.taken_V = np.zeros(layout.pool_from, np.bool_)
        self._layout = layout

    def add(self, samples: Read, known: Mapping[str, KnownIds]) -> None:
        """Count a chunk's ids, once the ids that it admits are known."""
        for name, column in samples.hashed():
            field = self._layout.named[name]
            rows_D = table_rows(column, field, self._layout, known)
            self.entries[name] += int(np.count_nonzero(column.which_N >= 0))
            if self._layout.named[field.vocabulary].exact:
                self.unknown[name] += int(column.counts()[rows_D == self._layout.offsets[field.vocabulary] + UNKNOWN].sum())
            else:
                self.taken_V[rows_D] = True

    def facts(self, known: Mapping[str, KnownIds], waiting: Mapping[str, int]) -> list[Facts]:
        """Return the columns above of each field of ids; those of a vocabulary stand at the field that owns it, null at others.

        unknown_share: of the field's entries that are not missing, those that read the row that all ids without their own share (exact).
        collision_share: the chance that an id's row is that of another id of the day: the share of rows that others take (hashed).
        """
        return [self._of(name, known, waiting) for name in self.entries]

    def _of(self, name: str, known: Mapping[str, KnownIds], waiting: Mapping[str, int]) -> Facts:
        vocabulary, entries = self._layout.named[name].vocabulary, self.entries[name]
        facts: Facts = {**dict.fromkeys(_COLUMNS), "field": name, "table": vocabulary, "entries": entries}
        if vocabulary in known and entries:
            facts["unknown_share"] = self.unknown[name] / entries
        if name != vocabulary:
            return facts
        if vocabulary not in known:
            first, rows = self._layout.offsets[vocabulary] + 1, self._layout.vocabularies[vocabulary] - 1
            others = max(int(self.taken_V[first : first + rows].sum()) - 1, 0)
            return {**facts, "collision_share": others / rows}
        counted = {part: getattr(self, part)[vocabulary] for part in ("admitted", "evicted", "dropped")}
        return {**facts, "ids": len(known[vocabulary]), "waiting": waiting[vocabulary], **counted}

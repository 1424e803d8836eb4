"""Where every raw row of a file went."""

from dataclasses import dataclass

from components.errors import DataError


@dataclass(frozen=True)
class Accounting:
    """The rows of one raw file; for a folder that is absent, the folder, no rows and a warning."""

    file: str
    rows_in: int
    accepted: int
    exact_duplicates: int
    conflicting_duplicates: int
    quarantined: int
    """Unreadable rows; conflicting duplicates are in the quarantine table too, but counted apart."""
    warning: str = ""

    def check(self) -> None:
        """Raise DataError when the rows read are not the sum of the rows accepted, removed and quarantined."""
        parts = self.accepted + self.exact_duplicates + self.conflicting_duplicates + self.quarantined
        if self.rows_in != parts:
            raise DataError(
                f"{self.file}: expected accepted + exact_duplicates + conflicting_duplicates + quarantined = rows_in = {self.rows_in}, "
                f"found {self.accepted} + {self.exact_duplicates} + {self.conflicting_duplicates} + {self.quarantined} = {parts}; "
                "this is a fault of the ingest code: keep the raw file and report it"
            )

"""The same from a shell: exit status and last line of a real `esmm`, and no traceback."""

import pytest

from tests.bad_input.conftest import DAY, Zone
from tests.bad_input.logs import as_csv, rows


@pytest.mark.parametrize(
    ("command", "torn", "says"),
    [
        ("ingest", True, "RawLogError: {folder}/a.csv.gz: expected a whole a.csv.gz, found "),
        ("ready", False, "NotReadyError: 2024-05-02 is not ready: clicks: expected the folder "),
        ("label", False, "MissingInputError: "),
        ("quarantine", False, "MissingInputError: "),
    ],
)
def test_a_bad_day_is_status_1_and_one_line(zone: Zone, command: str, torn: bool, says: str) -> None:
    path = zone.write("a.csv.gz", as_csv(rows()))
    if torn:
        path.write_bytes(path.read_bytes()[:-9])
    ran = zone.process(command, str(DAY))
    assert (ran.status, ran.out) == (1, "")
    (line,) = ran.err.splitlines()
    assert line.startswith(says.format(folder=zone.folder()))

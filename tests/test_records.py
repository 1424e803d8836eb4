"""Records: written whole, read back, and asked for with the command that makes them."""

from datetime import date
from pathlib import Path

import pytest

from components.errors import DataError, MissingInputError
from components.records import Records, write_text

DAY = date(2024, 5, 1)


def test_a_record_comes_back_as_it_was_written(tmp_path: Path) -> None:
    records = Records(tmp_path)
    records.write(DAY, "label", {"clicks": 3})
    assert records.read(DAY, "label") == {"clicks": 3}
    assert records.read_day(DAY) == {"label": {"clicks": 3}}
    assert records.days() == [DAY]


def test_a_step_that_has_not_run_is_named_with_its_command(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match="run `esmm ingest 2024-05-01` first"):
        Records(tmp_path).require(DAY, "ingest-clicks")


def test_a_write_that_fails_leaves_the_old_text_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    write_text(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "new \ud800")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("text", ["{", "", "[1]"])
def test_a_record_that_is_no_object_is_named_with_its_command(tmp_path: Path, text: str) -> None:
    records = Records(tmp_path)
    write_text(records.path(DAY, "label"), text)
    with pytest.raises(DataError, match=r"label\.json: expected a JSON object.*run `esmm label 2024-05-01` again"):
        records.require(DAY, "label")
    with pytest.raises(DataError, match=r"label\.json"):
        records.read_day(DAY)


def test_a_folder_that_is_no_day_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "runs" / "day=old").mkdir(parents=True)
    assert Records(tmp_path).days() == []

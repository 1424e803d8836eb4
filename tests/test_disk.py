"""Scratch folders: one's own is empty and gone afterwards; those of killed runs go with the next one."""

import os
import shutil
import signal
from collections import namedtuple
from multiprocessing import get_context
from pathlib import Path

import polars as pl
import pytest

from components.disk import saying_if_full, scratch_folder

Usage = namedtuple("Usage", "total used free")


def work_and_die(parent: Path) -> None:
    with scratch_folder(parent) as folder:
        (folder / "half").write_text("x")
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_scratch_folder_is_gone_afterwards_and_those_of_the_living_stay(tmp_path: Path) -> None:
    with scratch_folder(tmp_path / "scratch") as first:
        (first / "rows").write_text("x")
        with scratch_folder(tmp_path / "scratch") as second:
            assert list(second.iterdir()) == []
            assert (first / "rows").exists()
    assert list((tmp_path / "scratch").iterdir()) == []


def test_what_killed_runs_left_goes_with_the_next_run(tmp_path: Path) -> None:
    killed = get_context("spawn").Process(target=work_and_die, args=(tmp_path,))
    killed.start()
    killed.join()
    assert killed.exitcode == -signal.SIGKILL
    assert len(list(tmp_path.iterdir())) == 1
    with scratch_folder(tmp_path) as folder:
        assert list(tmp_path.iterdir()) == [folder]


def test_a_folder_that_its_run_removes_meanwhile_is_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = Path.iterdir
    monkeypatch.setattr(Path, "iterdir", lambda folder: iter([*listed(folder), folder / "gone"]))
    with scratch_folder(tmp_path / "scratch") as folder:
        assert folder.is_dir()


@pytest.mark.parametrize(("free", "expected"), [(4096, OSError), (1 << 30, pl.exceptions.ComputeError)])
def test_a_torn_write_counts_as_a_full_disk_only_on_a_full_disk(
    free: int, expected: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, free))
    with pytest.raises(expected, match=r"No space left|transport error"), saying_if_full(tmp_path):
        raise pl.exceptions.ComputeError("parquet: File out of specification: Invalid thrift: transport error")

"""The data folder keeps secrets to its owner, belongs to one process, and is never mistaken for a stranger's."""

import stat
from pathlib import Path

import pytest

from shipjury_standalone import folder as folders
from shipjury_standalone.folder import AlreadyRunning, DataFolder, FolderUnusable


def test_a_secret_is_made_once_and_read_by_its_owner_only(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data")
    folder.make()
    first = folder.secret("cookies")
    assert len(first) >= 32
    assert DataFolder(tmp_path / "data").secret("cookies") == first
    assert folder.secret("another") != first
    assert stat.S_IMODE((folder.path / "secrets.json").stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700


def test_a_folder_with_other_things_in_it_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(FolderUnusable, match="--data-dir"):
        DataFolder(tmp_path).make()
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_two_cannot_run_in_one_folder(tmp_path: Path) -> None:
    first, second = DataFolder(tmp_path), DataFolder(tmp_path)
    first.make()
    first.lock()
    with pytest.raises(AlreadyRunning, match="shipjury down"):
        second.lock()
    first.unlock()
    second.lock()
    second.unlock()


def test_a_full_disk_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "LEAST_FREE", 2**62)
    with pytest.raises(FolderUnusable, match=r"^The disk of .* is full .*: make room") as caught:
        DataFolder(tmp_path / "data").make()
    assert "\n" not in str(caught.value)


def test_what_a_dead_run_said_of_itself_is_not_believed(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    folder.make()
    folder.tell(folders.State(2**22 + 1, "http://a", "http://b", "c", "2026-01-01T00:00:00+00:00", {}))
    assert folder.state() is None

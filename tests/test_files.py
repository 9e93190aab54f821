"""Files: written whole or not at all, refused in one line, whatever the disk does."""

import os
import resource
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from llm_accuracy.errors import InputError
from llm_accuracy.files import atomic, check_new, read_json, write_whole

UNWRITABLE = Path("/proc")  # no one may make a file here, root neither


@contextmanager
def disk_of(size: int):
    """In here no file may grow beyond `size` bytes, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def one_line(refused: pytest.ExceptionInfo, path: Path, what: str) -> bool:
    told = str(refused.value)
    return told.startswith(f"{path}: cannot be written (") and what in told and "\n" not in told and (
        told.endswith("choose another place"))


def test_a_file_takes_its_name_when_it_is_complete(tmp_path):
    path = tmp_path / "new" / "folder" / "a.txt"
    with atomic(path, "w") as stream:
        stream.write("é\r\n")
        assert not path.exists()
    assert path.read_bytes() == "é\r\n".encode()
    write_whole(path, "text")
    write_whole(str(path), b"bytes")
    assert path.read_bytes() == b"bytes" and os.listdir(path.parent) == ["a.txt"]


@pytest.mark.parametrize("before", [None, b"old"])
def test_a_full_disk_leaves_the_old_file_or_none(tmp_path, before):
    path = tmp_path / "a.npz"
    if before:
        path.write_bytes(before)
    with disk_of(10_000), pytest.raises(InputError) as refused:
        write_whole(path, bytes(100_000))
    assert one_line(refused, path, "File too large")
    with disk_of(10_000), pytest.raises(InputError), atomic(path) as stream:
        np.save(stream, np.zeros(10_000))
    with disk_of(10_000), pytest.raises(InputError), atomic(path, "w") as stream:
        stream.write("x" * 10_001)  # written when the file is closed
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [before] * (before is not None)


def test_a_read_only_folder_is_told(tmp_path):
    for path in (UNWRITABLE / "a.csv", UNWRITABLE / "new" / "a.csv"):
        with pytest.raises(InputError) as refused:
            write_whole(path, "x")
        assert one_line(refused, path, "")


def test_a_folder_or_a_file_in_the_way_is_told(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "folder", tmp_path / "file" / "a.csv", tmp_path / "file" / "b" / "a.csv"):
        with pytest.raises(InputError) as refused:
            write_whole(path, "x")
        assert one_line(refused, path, "")
    with pytest.raises(InputError, match="folder: a folder is in the way; choose another name"):
        check_new(tmp_path / "folder", overwrite=True)
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]


def test_names_may_be_as_long_as_the_disk_takes_and_no_longer(tmp_path):
    longest = tmp_path / ("é" * 127)  # 254 bytes: the name it has meanwhile must not be longer
    write_whole(longest, "x")
    check_new(tmp_path / ("e" * 255), overwrite=False)
    for path in (tmp_path / ("é" * 128), tmp_path / ("e" * 256) / "a.csv"):
        with pytest.raises(InputError) as refused:
            write_whole(path, "x")
        assert one_line(refused, path, "File name too long")
        with pytest.raises(InputError) as refused:
            check_new(path, overwrite=True)
        assert one_line(refused, path, "File name too long")
    assert list(tmp_path.iterdir()) == [longest]


def test_an_error_of_something_else_is_passed_on(tmp_path):
    for error in (FileNotFoundError(2, "No such file", str(tmp_path / "source")), BrokenPipeError(32, "Broken pipe"),
                  KeyError("x"), KeyboardInterrupt()):
        with pytest.raises(type(error)), atomic(tmp_path / "a.csv") as stream:
            stream.write(b"half")
            raise error
    assert not list(tmp_path.iterdir())


def test_check_new(tmp_path):
    paths = [tmp_path / name for name in "abc"]
    check_new(paths, overwrite=False)
    for path in paths[:2]:
        path.write_text("x")
    with pytest.raises(InputError, match=f"{paths[0]}, {paths[1]} exist; choose another name or add --overwrite"):
        check_new(paths, overwrite=False)
    with pytest.raises(InputError, match="a exists;"):
        check_new(paths[0], overwrite=False)
    check_new(paths, overwrite=True)
    inside = tmp_path / "no" / "such" / "d"
    with pytest.raises(InputError, match=r"the folder .* does not exist; make it first"):
        check_new(inside, overwrite=True)
    check_new(inside, overwrite=False, make_parent=True)


@pytest.mark.parametrize("content", [b"{", b"\xff", b"[" * 100_000, None])
def test_unreadable_json_is_one_line(tmp_path, content):
    path = tmp_path / "a.json"
    if content:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"a\.json: not a readable JSON file") as refused:
        read_json(path)
    assert "\n" not in str(refused.value)
    path.write_text('{"é": 1}', encoding="utf-8")
    assert read_json(str(path)) == {"é": 1}

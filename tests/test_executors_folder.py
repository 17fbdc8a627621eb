"""The folder that programs run in, whatever they did to it; without a superuser's rights where the tests have them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator

import pytest

from executors.folder import remove, renew

NOBODY = 65534


@pytest.fixture
def folder() -> Iterator[str]:
    """A path in a folder of our own, and the working directory restored at the end."""
    before, user = os.getcwd(), os.geteuid()
    parent = tempfile.mkdtemp()
    if user == 0:
        os.chown(parent, NOBODY, -1)
        os.seteuid(NOBODY)
    try:
        yield os.path.join(parent, "work")
    finally:
        os.seteuid(user)
        os.chdir(before)
        remove(parent)


def nest(depth: int) -> None:
    for _ in range(depth):
        os.mkdir("d")
        os.chdir("d")


def test_it_is_new_each_time(folder: str) -> None:
    renew(folder)
    os.makedirs("a/b")
    open("a/file", "w").close()
    os.symlink("a", "link")
    os.chmod(".", 0o777)
    renew(folder)
    assert (os.getcwd(), os.listdir(), os.stat(".").st_mode & 0o777) == (os.path.realpath(folder), [], 0o700)


def test_rights_taken_away(folder: str) -> None:
    renew(folder)
    os.makedirs("a/b/c")
    open("a/b/file", "w").close()
    for path, mode in (("a/b/file", 0), ("a/b/c", 0), ("a/b", 0o100), ("a", 0), (".", 0o500)):
        os.chmod(path, mode)
    renew(folder)
    assert os.listdir() == []


def test_deeper_than_a_path(folder: str) -> None:
    renew(folder)
    nest(3000)
    renew(folder)
    assert os.listdir() == []


def test_links_are_removed_and_not_followed(folder: str) -> None:
    kept = folder + ".kept"
    os.makedirs(kept + "/inside")
    renew(folder)
    os.symlink(kept, "link")
    renew(folder)
    os.rmdir(folder)
    os.symlink(kept, folder)
    renew(folder)
    os.chdir("/")
    os.rmdir(folder)
    open(folder, "w").close()
    renew(folder)
    assert (os.listdir(), os.listdir(kept)) == ([], ["inside"])


def test_removing_twice(folder: str) -> None:
    renew(folder)
    remove(folder)
    remove(folder)
    assert not os.path.exists(folder)

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from everloop.errors import InvalidError
from everloop.workspace import walk
from everloop.workspace.ignore import IgnoreRules
from everloop.workspace.traits import Seen

FOLDERS, FILES = 12, 500


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A directory with so many files that several processes walk it, and something of everything in it."""
    (tmp_path / ".dvcignore").write_text("*.log\n")
    for folder in range(FOLDERS):
        inner = tmp_path / f"data/{folder}/deep"
        inner.mkdir(parents=True)
        for number in range(FILES):
            (inner / str(number)).touch()
        (inner / "note.log").touch()
        (inner / "run").touch(mode=0o755)
        (inner / "link").symlink_to("run")
        (inner / "nowhere").symlink_to("gone")
        (tmp_path / f"data/{folder}/empty").mkdir()
    return tmp_path


# In a process of its own, since that of the tests has threads, and then is never forked.
LIST = """
import pickle, sys
from pathlib import Path
from everloop.errors import EverloopError
from everloop.workspace import forks, widewalk
from everloop.workspace.ignore import IgnoreRules
from everloop.workspace.traits import Seen
root, is_alone = Path(sys.argv[1]), sys.argv[2] == "True"
assert forks.is_possible()
if is_alone:
    forks.is_possible = lambda: False
seen = Seen()
try:
    found = widewalk.listing(root, "data", IgnoreRules(root, ".dvcignore"), seen, lambda _: None)
    answer = [(name, found.identity(place)) for place, name in enumerate(found.names)], seen
except EverloopError as error:
    answer = error
sys.stdout.buffer.write(pickle.dumps(answer))
"""


def listed(root: Path, is_alone: bool) -> tuple[list[tuple[str, tuple[int, int, int]]], Seen]:
    words = [sys.executable, "-c", LIST, str(root), str(is_alone)]
    answer = pickle.loads(subprocess.run(words, stdout=subprocess.PIPE, check=True).stdout)
    if isinstance(answer, Exception):
        raise answer
    found: tuple[list[tuple[str, tuple[int, int, int]]], Seen] = answer
    return found


@pytest.mark.parametrize("is_alone", [False, True])
def test_several_processes_see_what_one_sees(large: Path, is_alone: bool) -> None:
    seen = Seen()
    expected = {
        name: (found.st_ino, found.st_mtime_ns, found.st_size)
        for name, found in walk.data_files(large, "data", IgnoreRules(large, ".dvcignore"), seen)
    }
    assert len(expected) == FOLDERS * (FILES + 2)
    found, met = listed(large, is_alone)
    assert dict(found) == expected
    assert met.traits(list(expected)) == seen.traits(list(expected))
    assert {path: str(failure) for path, failure in met.broken.items()} == {
        path: str(failure) for path, failure in seen.broken.items()
    }
    assert len(met.broken) == FOLDERS


def test_order_is_the_same_for_one_process_and_for_several(large: Path) -> None:
    assert listed(large, is_alone=False)[0] == listed(large, is_alone=True)[0]


@pytest.mark.parametrize("is_alone", [False, True])
def test_what_is_no_file_is_refused_wherever_it_lies(large: Path, is_alone: bool) -> None:
    os.mkfifo(large / "data/11/deep/pipe")
    with pytest.raises(InvalidError, match="data/11/deep/pipe is neither a file nor a folder"):
        listed(large, is_alone)

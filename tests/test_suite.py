"""The suite's own rules: what shares a worker, and what becomes of a test whose tool is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import conftest


@pytest.mark.parametrize(("setting", "outcome"), [("required", pytest.fail.Exception), ("", pytest.skip.Exception)])
def test_a_test_of_dvc_without_dvc_is_told(
    setting: str,
    outcome: type[BaseException],
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(conftest, "DVC", tmp_path / "dvc")
    monkeypatch.setenv("TEST_PEERS", setting)
    conftest.pytest_runtest_setup(request.node)
    request.node.add_marker(pytest.mark.peer)
    with pytest.raises(outcome, match="make setup"):
        conftest.pytest_runtest_setup(request.node)


def test_plays_of_the_demo_share_a_worker_and_each_other_file_has_its_own() -> None:
    assert conftest.unit("tests/demo/test_kill.py::test[1]") == conftest.unit("tests/demo/test_demo.py::test")
    assert conftest.unit("tests/data/test_tables.py::test[a::b]") == "tests/data/test_tables.py"


def test_the_long_ones_are_there() -> None:
    root = Path(__file__).parent.parent
    assert all((root / name).exists() for name in conftest.LONG)

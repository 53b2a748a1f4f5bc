"""Settings: defaults < file < environment < argument, and clear words for what does not fit."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.config import Settings
from everloop.errors import InvalidError


def in_home(home: Path, text: str = "") -> dict[str, str]:
    """Write `settings.yaml` into a home; return the environment that names it."""
    home.mkdir(exist_ok=True)
    if text:
        (home / "settings.yaml").write_text(text)
    return {"EVERLOOP_HOME": str(home)}


def test_nothing_given_is_the_defaults(tmp_path: Path) -> None:
    assert Settings.load({}, home=str(tmp_path)) == Settings(home=str(tmp_path))


def test_each_source_overrides_the_one_before(tmp_path: Path) -> None:
    environ = in_home(tmp_path, "hub_port: 1\ngateway_port: 1\nlog_level: debug\n")
    environ |= {"EVERLOOP_HUB_PORT": "2", "EVERLOOP_GATEWAY_PORT": "2", "OTHER_HUB_PORT": "9"}
    loaded = Settings.load(environ, hub_port=3, gateway_port=None)
    assert (loaded.hub_port, loaded.gateway_port, loaded.log_level) == (3, 2, "debug")


def test_the_argument_names_the_home_whose_file_is_read(tmp_path: Path) -> None:
    environ = in_home(tmp_path / "one", "log_level: one")
    in_home(tmp_path / "two", "log_level: two")
    assert Settings.load(environ).log_level == "one"
    assert Settings.load(environ, home=str(tmp_path / "two")).log_level == "two"


@pytest.mark.parametrize("source", ["file", "environment", "argument"])
def test_an_unknown_setting_is_refused_with_the_near_one(tmp_path: Path, source: str) -> None:
    environ = in_home(tmp_path, "hub_prot: 1" if source == "file" else "")
    if source == "environment":
        environ["EVERLOOP_HUB_PROT"] = "1"
    arguments = {"hub_prot": 1} if source == "argument" else {}
    with pytest.raises(InvalidError, match="hub_prot") as caught:
        Settings.load(environ, **arguments)
    assert caught.value.hint == "Did you mean 'hub_port'?"
    assert {"file": "settings.yaml", "environment": "environment", "argument": "arguments"}[source] in str(caught.value)


def test_a_setting_near_to_none_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(InvalidError) as caught:
        Settings.load(in_home(tmp_path) | {"EVERLOOP_XYZZY": "1"})
    assert caught.value.hint
    assert "database_url" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "place"),
    [("hub_port: many", "hub_port"), ("- a\n- b", "list"), ("a: [", "YAML"), ("3", "int"), ("home: 'a", "YAML")],
)
def test_a_file_that_does_not_fit_is_refused_with_its_place(tmp_path: Path, text: str, place: str) -> None:
    with pytest.raises(InvalidError, match=place):
        Settings.load(in_home(tmp_path, text))


def test_an_empty_file_says_nothing(tmp_path: Path) -> None:
    assert Settings.load(in_home(tmp_path, "# later\n")) == Settings(home=str(tmp_path))


def test_the_database_is_a_file_of_the_home_or_a_server() -> None:
    assert Settings(home="/h").database == "sqlite:////h/everloop.db"
    assert Settings(home="/h").workflow_database == "sqlite:////h/workflows.db"
    for scheme in ("postgresql", "postgres", "postgresql+psycopg"):
        settings = Settings(database_url=f"{scheme}://u:p@host/postgresql")
        assert settings.database == "postgresql+psycopg://u:p@host/postgresql"
        assert settings.workflow_database == settings.database


def test_paths_are_absolute_and_know_the_home_folder() -> None:
    assert Settings(home="~/x").home_path == Path.home() / "x"
    assert Settings(home="x").home_path == Path.cwd() / "x"
    assert Settings(home="/h").objects_path == Path("/h/objects")
    assert Settings(home="/h", store_url="/o").objects_path == Path("/o")


def test_a_url_is_the_one_given_or_made_of_host_and_port() -> None:
    assert Settings().hub == "http://127.0.0.1:7300"
    assert Settings(hub_host="localhost", hub_port=1).hub == "http://localhost:1"
    assert Settings(hub_url="http://hub.example/").hub == "http://hub.example"
    assert Settings(gateway_port=2).gateway == "http://127.0.0.1:2"
    assert Settings(gateway_url="http://gw.example/").gateway == "http://gw.example"


@given(
    settings=st.builds(
        Settings,
        home=st.just("/no/such/home"),
        hub_port=st.integers(1, 65535),
        schedule_s=st.floats(0, 1e6),
        worker_id=st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=10),
    )
)
def test_a_child_process_gets_the_same_settings_by_its_environment(settings: Settings) -> None:
    assert Settings.load(settings.environment()) == settings


def test_the_environment_of_a_child_holds_only_what_differs() -> None:
    assert Settings(hub_port=1).environment() == {"EVERLOOP_HUB_PORT": "1"}

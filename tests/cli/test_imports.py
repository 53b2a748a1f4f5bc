"""What is light stays light, and every command that `ever --help` names is there."""

from __future__ import annotations

import importlib
import subprocess
import sys

import click
import pytest

from everloop.cli.commands import COMMANDS

HEAVY = (
    "alembic",
    "asyncssh",
    "dbos",
    "duckdb",
    "fsspec",
    "granian",
    "httpx",
    "numpy",
    "obstore",
    "rich",
    "ruamel",
    "sklearn",
    "sqlalchemy",
    "starlette",
    "urllib3",
)

BLOCKED = f"""
import sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {set(HEAVY)}:
            raise AssertionError(f"{{name}} was imported")

sys.meta_path.insert(0, Block())
"""


def run(code: str) -> str:
    ran = subprocess.run([sys.executable, "-c", BLOCKED + code], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_the_block_works() -> None:
    with pytest.raises(AssertionError, match="urllib3 was imported"):
        run("import urllib3")


def test_importing_the_package_loads_nothing_heavy() -> None:
    run("import everloop; everloop.__version__; dir(everloop)")


def test_the_verbs_of_data_load_nothing_heavy_until_they_are_called() -> None:
    run("import everloop; everloop.open, everloop.read_table, everloop.Workspace")


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], [], ["--version"], ["no-such-command"]])
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    code = f"import sys; sys.argv = ['ever', *{arguments}]; from everloop.cli import main\n"
    run(code + "try: main()\nexcept SystemExit as end: assert end.code in (0, 2), end.code")


def test_help_names_every_command_with_its_line() -> None:
    text = run("import sys; sys.argv = ['ever', '--help']; from everloop.cli import main; main()")
    for name, (_, _, _, line) in COMMANDS.items():
        assert f"\n  {name} " in text
        assert line in text


def test_help_does_not_even_load_click() -> None:
    run("sys.modules['click'] = None; sys.argv = ['ever', '--help']; from everloop.cli import main; main()")


@pytest.mark.parametrize(("name", "entry"), COMMANDS.items(), ids=list(COMMANDS))
def test_every_command_is_where_the_table_says(name: str, entry: tuple[str, str, str, str]) -> None:
    _, module, attribute, _ = entry
    command = getattr(importlib.import_module(module), attribute)
    assert isinstance(command, click.Command)
    assert command.name == name
    assert command.help

"""Real environments, built with the real uv; offline, out of packages that lie beside the lock."""

from __future__ import annotations

import os
import platform
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from everloop.compute import environments
from everloop.compute.environments import built, collect, prepare, variables
from everloop.compute.environmentspec import EnvironmentSpec, key_of, read_spec
from everloop.errors import FailedError, InvalidError, NotFoundError, NotInstalledError

UV = Path(__file__).parents[2] / ".venv-uv/bin"
has_uv = pytest.mark.skipif(
    shutil.which("uv") is None and not (UV / "uv").exists(), reason="there is no uv: make setup"
)

# Builds a wheel with nothing but the standard library, so that nothing has to be downloaded.
BACKEND = """
import pathlib, zipfile

def build_wheel(folder, config_settings=None, metadata_directory=None):
    name = "tinypkg-1.0-py3-none-any.whl"
    info = "tinypkg-1.0.dist-info"
    files = {
        "tinypkg.py": pathlib.Path("tinypkg.py").read_text(),
        f"{info}/METADATA": "Metadata-Version: 2.1\\nName: tinypkg\\nVersion: 1.0\\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\\nGenerator: x\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
        f"{info}/entry_points.txt": "[console_scripts]\\ntiny = tinypkg:main\\n",
    }
    with zipfile.ZipFile(pathlib.Path(folder) / name, "w") as wheel:
        for path, text in files.items():
            wheel.writestr(path, text)
        wheel.writestr(f"{info}/RECORD", "".join(f"{path},,\\n" for path in [*files, f"{info}/RECORD"]))
    return name
"""
PYPROJECT = """\
[project]
name = "tinypkg"
version = "1.0"
[project.scripts]
tiny = "tinypkg:main"
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", f"{os.environ['PATH']}{os.pathsep}{UV}")
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv-cache"))
    monkeypatch.setenv("UV_PYTHON_DOWNLOADS", "never")
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    return tmp_path / "environments"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / "pkg").mkdir(parents=True)
    (folder / "pkg/backend.py").write_text(BACKEND)
    (folder / "pkg/pyproject.toml").write_text(PYPROJECT)
    (folder / "pkg/tinypkg.py").write_text("def main():\n    print('tiny 1')\n")
    (folder / "requirements.txt").write_text("# what training needs\n./pkg\n")
    return folder


def spec(project: Path) -> EnvironmentSpec:
    found = read_spec("requirements.txt", project, "here")
    assert found is not None
    return found


def run_in(environment: environments.Environment, *words: str) -> str:
    shell = " ".join(words)
    done = subprocess.run(
        ["/bin/sh", "-c", shell],
        env={**os.environ, **variables(environment)},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


@has_uv
def test_a_command_finds_what_the_lock_names(home: Path, project: Path) -> None:
    told: list[str] = []
    made = prepare(spec(project), home, told.append)
    assert run_in(made, "tiny") == "tiny 1\n"
    assert run_in(made, "python -c 'import sys, tinypkg; print(sys.prefix)'").strip() == made.path
    assert run_in(made, "echo $VIRTUAL_ENV").strip() == made.path
    assert told == [f"building the environment {made.key}: requirements.txt, Python {platform.python_version()}"]
    assert made.python == platform.python_version()


@has_uv
def test_the_same_lock_is_built_once(
    home: Path, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = prepare(spec(project), home)
    elsewhere = shutil.copytree(project, tmp_path / "elsewhere")
    monkeypatch.setenv("PATH", "/nowhere")
    assert prepare(spec(elsewhere), home) == first
    assert list(built(home)) == [first.key]


def test_what_goes_in_decides_the_key(project: Path) -> None:
    keys = [key_of(spec(project), "3.11.7"), key_of(spec(project), "3.12.0")]
    for path, text in (
        ("pkg/tinypkg.py", "changed = 1\n"),
        ("requirements.txt", "./pkg\n-r more.txt\n"),
        ("more.txt", "-e ./pkg\n"),
    ):
        (project / "more.txt").touch()
        (project / path).write_text(text)
        keys.append(key_of(spec(project), "3.11.7"))
    assert len(set(keys)) == len(keys)
    (project / "pkg/__pycache__").mkdir()
    (project / "pkg/__pycache__/x.pyc").write_text("x")
    assert key_of(spec(project), "3.11.7") == keys[-1]


@has_uv
@pytest.mark.parametrize("says_its_name", [True, False])
def test_an_edited_package_is_built_anew(home: Path, project: Path, says_its_name: bool) -> None:
    if not says_its_name:
        (project / "pkg/pyproject.toml").write_text(
            PYPROJECT.partition("[build-system]")[2].join(["[build-system]", ""])
        )
    prepare(spec(project), home)
    (project / "pkg/tinypkg.py").write_text("def main():\n    print('tiny 2')\n")
    assert run_in(prepare(spec(project), home), "tiny") == "tiny 2\n"


@has_uv
def test_a_uv_lock_gives_its_dependencies(home: Path, project: Path) -> None:
    text = '[project]\nname = "whole"\nversion = "0"\nrequires-python = ">=3.11"\ndependencies = ["tinypkg"]\n'
    (project / "pyproject.toml").write_text(text + '[tool.uv.sources]\ntinypkg = { path = "pkg" }\n')
    words = ["uv", "lock", "--quiet", "--python", sys.executable]
    subprocess.run(words, cwd=project, check=True, env={**os.environ, "PATH": f"{UV}:{os.environ['PATH']}"})
    found = read_spec({"lock": "uv.lock"}, project, "here")
    assert found is not None
    made = prepare(found, home)
    assert (made.kind, run_in(made, "tiny")) == ("uv.lock", "tiny 1\n")
    (project / "pkg/tinypkg.py").write_text("def main():\n    print('tiny 2')\n")
    again = prepare(found, home)
    assert (again.key != made.key, run_in(again, "tiny")) == (True, "tiny 2\n")
    assert run_in(made, "tiny") == "tiny 1\n"


@has_uv
def test_a_python_alone(home: Path, project: Path) -> None:
    found = read_spec(".".join(platform.python_version_tuple()[:2]), project, "here")
    assert found is not None
    made = prepare(found, home)
    assert run_in(made, "python -c 'import sys; print(sys.prefix)'").strip() == made.path
    with pytest.raises(NotFoundError, match=r"there is no Python 3\.99 here"):
        prepare(EnvironmentSpec(kind="python", python="3.99"), home)


@has_uv
def test_what_cannot_be_built_says_why_and_leaves_nothing(home: Path, project: Path) -> None:
    (project / "requirements.txt").write_text("there-is-no-such-package==9\n")
    with pytest.raises(FailedError, match="there-is-no-such-package"):
        prepare(spec(project), home)
    assert built(home) == {}
    (project / "requirements.txt").write_text("./pkg\n")
    assert run_in(prepare(spec(project), home), "tiny") == "tiny 1\n"


@has_uv
def test_two_at_once_build_it_once(home: Path, project: Path) -> None:
    slow = "import time; time.sleep(1)\n"
    (project / "pkg/backend.py").write_text(slow + BACKEND)
    told: list[str] = []
    threads = [threading.Thread(target=prepare, args=(spec(project), home, told.append)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(built(home)) == 1
    assert [text.split(" ")[0] for text in told].count("building") == 1


@has_uv
def test_a_killed_builder_leaves_no_half_environment(home: Path, project: Path) -> None:
    reached = project / "reached"
    wait = f"import pathlib, time; pathlib.Path({str(reached)!r}).touch(); time.sleep(600)\n"
    backend = project / "pkg/backend.py"
    backend.write_text(wait + BACKEND)
    code = (
        "import sys, pathlib; from everloop.compute.environments import prepare; "
        "from everloop.compute.environmentspec import read_spec; "
        "prepare(read_spec('requirements.txt', pathlib.Path(sys.argv[1]), 'x'), pathlib.Path(sys.argv[2]))"
    )
    words = [sys.executable, "-c", code, str(project), str(home)]
    builder = subprocess.Popen(words, start_new_session=True)
    while not reached.exists():
        assert builder.poll() is None
        threading.Event().wait(0.05)
    os.killpg(builder.pid, signal.SIGKILL)
    builder.wait()
    assert built(home) == {}
    assert list(home.glob(".building-*"))
    backend.write_text(BACKEND)
    assert run_in(prepare(spec(project), home), "tiny") == "tiny 1\n"
    assert collect(home) == []
    assert not list(home.glob(".building-*"))


@has_uv
def test_what_nobody_uses_is_collected(home: Path, project: Path) -> None:
    old = prepare(spec(project), home)
    (project / "requirements.txt").write_text("./pkg  # newer\n")
    new = prepare(spec(project), home)
    os.utime(Path(old.path) / "everloop.json", (0, 0))
    assert collect(home) == [old.key]
    assert list(built(home)) == [new.key]
    assert not Path(old.path).exists()
    assert prepare(spec(project), home) == new


def test_without_uv_the_extra_is_named(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setitem(sys.modules, "uv", None)
    with pytest.raises(NotInstalledError, match=r"everloop\[env\]"):
        prepare(spec(project), tmp_path / "environments")


@pytest.mark.parametrize("value", [[], {}, {"lock": "requirements.txt", "pyton": "3.12"}, True, {"python": "three"}])
def test_a_malformed_declaration_is_refused(project: Path, value: object) -> None:
    with pytest.raises(InvalidError, match="here"):
        read_spec(value, project, "here")


def test_declarations(project: Path) -> None:
    assert read_spec(None, project, "here") is None
    assert read_spec(False, project, "here") is None
    assert read_spec(3.12, project, "here") == EnvironmentSpec(kind="python", python="3.12")
    (project / "uv.lock").touch()
    (project / ".python-version").write_text("3.13\n")
    assert read_spec("uv.lock", project, "here") == EnvironmentSpec(
        kind="uv.lock", lock=str(project / "uv.lock"), python="3.13"
    )
    with pytest.raises(NotFoundError, match=r"nope\.txt does not exist"):
        read_spec("nope.txt", project, "here")

"""Setting the stage: the user's workspace, the platform's processes, and a first champion, as a user would do it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path

import msgspec

from everloop.config import Settings
from everloop.demo.world import FIRST_DAY, YEAR, World
from everloop.errors import FailedError, NotFoundError, UnavailableError
from everloop.loop.project import read_project
from everloop.loop.retraining import ENVIRONMENT
from everloop.pipelines import repro
from everloop.server.client import Hub, actor
from everloop.storage import HttpClient
from everloop.workspace import Git, Workspace

ENDPOINT = "flight-delay"
MODEL = "flight-delay"
HISTORY = ((date(YEAR, 1, 1), date(YEAR, 1, 31), "2013-01"), (date(YEAR, 2, 1), date(YEAR, 2, 28), "2013-02"))
START_S = 60.0
PATIENCE_S = 60.0

Say = Callable[[str], None]


def template() -> Path:
    """Return the folder of the example project: in the installed package, or in the source tree beside it."""
    package = Path(__file__).resolve().parent
    for folder in (package / "flights", package.parents[2] / "examples" / "flights"):
        if (folder / "everloop.yaml").is_file():
            return folder
    raise NotFoundError("the example project `flights` is not part of this installation")


def make_workspace(folder: Path, say: Say) -> Workspace:
    """Make a workspace from the example project; one that is there already is used as it is."""
    if not (folder / ".dvc").is_dir():
        say(f"$ cp -r examples/flights {folder} && cd {folder} && git init && ever init")
        shutil.copytree(
            template(), folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__", "*.pyc", ".everloop")
        )
        # A repository of its own, also inside another one (as in Everloop's own checkout), which must not notice.
        Git(folder).init()
        Workspace.init(folder)
    workspace = Workspace.open(folder)
    ignore = folder / ".gitignore"
    lines = ignore.read_text(encoding="utf-8").splitlines() if ignore.exists() else []
    if "/.everloop" not in lines:
        ignore.write_text("\n".join([*lines, "/.everloop"]) + "\n", encoding="utf-8")
    workspace.git.commit(["."], "Start from the flights example")
    return workspace


def choose_settings(home: Path) -> Settings:
    """Return the settings of the demo's platform, written down for later: the usual ports when they are free.

    A database that the environment names (`EVERLOOP_DATABASE_URL`) is used instead of SQLite in `home`.
    """
    path = home / "settings.yaml"
    if not path.exists():
        home.mkdir(parents=True, exist_ok=True)
        usual = Settings()
        chosen: dict[str, object] = {
            "hub_port": _free_port(usual.hub_port),
            "gateway_port": _free_port(usual.gateway_port),
            "schedule_s": 0,
        }
        if url := Settings.load().database_url:
            chosen["database_url"] = url
        path.touch(mode=0o600)
        # JSON is YAML, and quotes what has to be quoted.
        path.write_bytes(msgspec.json.format(msgspec.json.encode(chosen)) + b"\n")
    return Settings.load({}, home=str(home))


def _free_port(wanted: int) -> int:
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise UnavailableError("no free port on 127.0.0.1")


@contextmanager
def platform(settings: Settings) -> Iterator[subprocess.Popen[bytes]]:
    """Run `ever up` for the demo, and stop it at the end; it also ends with this process."""
    lifeline_read, lifeline_write = os.pipe()
    log_path = settings.home_path / "logs" / "up.log"
    log_path.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "everloop", "up", "--home", str(settings.home_path)]
    with log_path.open("ab") as log:
        process = subprocess.Popen(
            [*command, "--lifeline", str(lifeline_read)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(lifeline_read,),
            start_new_session=True,
        )
    try:
        _await_health(settings, process, log_path)
        yield process
    finally:
        os.close(lifeline_write)
        os.close(lifeline_read)
        process.terminate()
        process.wait()


def _await_health(settings: Settings, process: subprocess.Popen[bytes], log_path: Path) -> None:
    for url, name in ((settings.hub, "hub"), (settings.gateway, "gateway")):
        client = HttpClient(url, name=name)
        deadline = time.monotonic() + START_S
        while True:
            if process.poll() is not None:
                tail = log_path.read_text(errors="replace")[-2000:]
                raise FailedError(f"`ever up` ended with exit code {process.returncode}:\n{tail}")
            try:
                client.json("GET", "/health")
                break
            except UnavailableError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)


def bring_history(hub: Hub, workspace: Workspace, world: World, say: Say) -> None:
    """Hand in January and February, put them under version, run the pipeline, commit."""
    say("$ ever apply")
    hub.apply(workspace.root)
    for first, last, name in HISTORY:
        say(f"$ ever ingest flights {name}.csv && ever ingest weather {name}.csv")
        hub.hand_in("flights", name, world.flights_csv(first, last), _midnight(first))
        hub.hand_in("weather", name, world.weather_csv(first, last), _midnight(first))
    project, _ = read_project(workspace.root)
    folders = [source.path for source in project.datasets.values()]
    for name, source in project.datasets.items():
        hub.check_out(name, workspace.root / source.path)
    planes = workspace.root / "data" / "planes.csv"
    if not planes.exists():
        shutil.copyfile(world.planes, planes)
    say(f"$ ever add {' '.join(folders)} data/planes.csv && git commit")
    workspace.add([*folders, "data/planes.csv"])
    workspace.git.commit(["."], "Add January and February")


def await_endpoint(gateway: HttpClient) -> None:
    """Wait until the gateway serves the endpoint, which it learns of within a moment of its first deployment."""
    deadline = time.monotonic() + START_S
    while True:
        try:
            gateway.call("GET", f"/v2/models/{ENDPOINT}/ready")
            return
        except NotFoundError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def run_pipeline(workspace: Workspace, hub: Hub, say: Say) -> None:
    """Run the pipeline in the workspace, commit its lock, and put the run on record."""
    say("$ ever repro && git commit")
    report = repro(workspace, environment=ENVIRONMENT)
    for stage in report.stages:
        say(f"  {stage.stage}: {stage.outcome} in {stage.seconds:.1f} s")
    commit = workspace.git.commit(["."], "Train on January and February")
    hub.record(workspace, report, experiment="flights", commit=commit)


def first_champion(hub: Hub, say: Say) -> None:
    """Pass the first model through the gates; it becomes the champion, and the baseline that is never retrained."""
    say(f"$ ever retrain {ENDPOINT}")
    retraining_id = f"{ENDPOINT}-first"
    at = _midnight(FIRST_DAY)
    hub.loop.request_retraining(ENDPOINT, retraining_id, at, actor(), "first model")
    done = hub.await_retraining(retraining_id)
    if done.state != "champion":
        raise FailedError(f"the first model did not become champion: {done.state}: {done.message}")
    say(f"  gates passed, version {done.version} registered and champion of {ENDPOINT}")
    hub.registry.set_alias(MODEL, "baseline", 1, actor(), "the model that is never retrained")


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)

"""A run and its hub: told in the background, once, in order; and never a reason for the training to fail."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from everloop import refs
from everloop.errors import InvalidError, UnavailableError
from everloop.tracking import Edge, Metric, Run, TrackingStore, spool, start_run
from everloop.tracking import stream as stream_module
from everloop.tracking.sending import Sender
from everloop.tracking.spool import Ended, Entry, Header, Segment
from everloop.tracking.stream import open_stream
from everloop.tracking.sync import Synced, sync
from tests.stores import Stores, free_port
from tests.tracking.hubprocess import HubProcess

NOON = datetime(2013, 3, 1, 12, tzinfo=UTC)
SPOOL = Path("../.everloop/spool")

pytestmark = pytest.mark.usefixtures("own_place")


@pytest.fixture
def url(hub: Stores, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of a hub, which this process's runs are told to."""
    assert hub.client is not None
    monkeypatch.setenv("EVERLOOP_HUB_URL", hub.client.url)
    return hub.client.url


@pytest.fixture
def hub_process(tmp_path: Path, sqlite_home: Path) -> Iterator[HubProcess]:
    process = HubProcess(sqlite_home)
    yield process
    process.kill()


def started(code: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ran(code: str, **environment: str) -> tuple[int, str]:
    process = started(code, **environment)
    out, errors = process.communicate(timeout=120)
    return process.returncode, out + errors


def only_run(store: TrackingStore) -> Run:
    (run,) = store.search_runs().runs
    return run


def waiting() -> list[Path]:
    return [path for path in SPOOL.rglob("*") if path.is_file()]


def ever_sync(url: str, *words: str) -> tuple[int, list[Synced]]:
    done = subprocess.run(
        [sys.executable, "-m", "everloop", "sync", "--json", *words],
        env=os.environ | {"EVERLOOP_HUB_URL": url},
        capture_output=True,
        text=True,
        check=False,
    )
    found = json.loads(done.stdout or "[]")
    return done.returncode, [Synced(**each) for each in found]


# --- told at once


def test_a_run_is_told_to_the_hub(hub: Stores, url: str) -> None:
    Path("model").mkdir()
    Path("model/weights").write_bytes(b"w" * 100_000)
    Path("empty").touch()
    with start_run(experiment="late flights!", name="try", tags={"by": "ada"}) as run:
        run.log_params({"lr": 0.1, "net": {"layers": [1, 2]}, "name": "x", "big": 10**30})
        for step in range(3):
            run.log({"train/loss": 1 / (step + 1)}, word="no number")
            run.next_step()
        run.log(odd=float("nan"))
        run.log_image("x.png", np.zeros((2, 2), "u1"))
        run.log_artifact("model")
        run.log_artifact("empty")
        assert run.run_id
    run.log_param("late", 1)
    found = only_run(hub.tracking)
    assert (found.run_id, found.experiment, found.name, found.status) == (
        run.run_id,
        "late-flights-",
        "try",
        "finished",
    )
    assert found.params == {"lr": "0.1", "net.layers": "[1,2]", "name": "x", "big": str(10**30)}
    assert found.metrics == {"train/loss": 1 / 3, "odd": "NaN"}
    assert found.tags == {"by": "ada", "metric.word": "no number"}
    points = hub.tracking.metric_history(run.run_id, "train/loss").points
    assert [(point.step, point.value) for point in points] == [(0, 1.0), (1, 0.5), (2, 1 / 3)]
    artifacts = {each.path: each for each in hub.tracking.list_artifacts(run.run_id)}
    assert list(artifacts) == ["empty", "model/weights", "plots/images/x.png"]
    assert hub.local.objects.get(artifacts["model/weights"].digest) == b"w" * 100_000
    assert artifacts["empty"].digest == hashlib.sha256(b"").hexdigest()
    assert found.started_at <= points[0].logged_at
    assert found.ended_at
    assert waiting() == []


def test_metrics_are_on_the_hub_while_the_run_goes_on(hub: Stores, url: str) -> None:
    with start_run() as run:
        run.log(loss=0.5)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            runs = hub.tracking.search_runs().runs
            if runs and runs[0].metrics:
                break
            time.sleep(0.05)
        assert only_run(hub.tracking).metrics == {"loss": 0.5}
        assert only_run(hub.tracking).status == "running"


@pytest.mark.parametrize(
    ("code", "exits", "status"),
    [
        ("import everloop\nwith everloop.start_run() as r: r.log(a=1)", 0, "finished"),
        ("import everloop\nr = everloop.start_run(); r.log(a=1)", 0, "finished"),
        ("import everloop\nwith everloop.start_run() as r: r.log(a=1); raise SystemExit(3)", 3, "failed"),
        ("import everloop\nwith everloop.start_run() as r: r.log(a=1); 1 / 0", 1, "failed"),
        ("import everloop\nr = everloop.start_run(); r.log(a=1); 1 / 0", 1, "failed"),
        ("import everloop\nwith everloop.start_run() as r: r.log(a=1); raise KeyboardInterrupt", -2, "killed"),
    ],
)
def test_a_run_ends_as_its_process_does(hub: Stores, url: str, code: str, exits: int, status: str) -> None:
    assert ran(code)[0] == exits
    found = only_run(hub.tracking)
    assert (found.status, found.metrics) == (status, {"a": 1.0})
    assert waiting() == []


def test_a_killed_process_s_run_is_ended_on_the_hub_at_once(hub: Stores, url: str) -> None:
    code = """
import os, signal, everloop
run = everloop.start_run()
for i in range(100): run.log(loss=i, step=i)
run.log_param("a", 1)
run.flush()
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert ran(code)[0] == -signal.SIGKILL
    deadline = time.monotonic() + 60
    while not (runs := [run for run in hub.tracking.search_runs().runs if run.status == "failed"]):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert (runs[0].params, runs[0].metrics) == ({"a": "1"}, {"loss": 99.0})
    while waiting():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_process_that_joins_a_run_adds_to_it_and_does_not_end_it(
    hub: Stores, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = hub.tracking.create_run(refs.new_run_id(), "flights").run_id
    monkeypatch.setenv("EVERLOOP_RUN_ID", run_id)
    with start_run() as run:
        run.log(loss=0.5)
    found = only_run(hub.tracking)
    assert (found.run_id, found.status, found.metrics) == (run_id, "running", {"loss": 0.5})
    assert waiting() == []


def test_a_param_that_is_logged_again_with_another_value_becomes_a_tag(hub: Stores, url: str) -> None:
    with start_run() as run:
        run.log_param("lr", 0.1)
        run.log_params({"lr": 0.2, "depth": 3})
        run.log(loss=1)
    found = only_run(hub.tracking)
    assert (found.params, found.tags) == ({"lr": "0.1", "depth": "3"}, {"param.lr": "0.2"})
    assert found.metrics == {"loss": 1.0}


def test_what_the_hub_refuses_is_left_out_and_told(hub: Stores, url: str, capfd: pytest.CaptureFixture[str]) -> None:
    with start_run() as run:
        run.log_param("a", 1)
        run.log_param("huge", "x" * (9 << 20))
        run.log(loss=1)
    found = only_run(hub.tracking)
    assert (found.params, found.metrics, found.status) == ({"a": "1"}, {"loss": 1.0}, "finished")
    assert "left out of run" in capfd.readouterr().err
    assert waiting() == []


# --- no hub


def test_without_a_hub_the_run_waits_and_is_sent_later_as_it_was(hub: Stores) -> None:
    assert hub.client is not None
    code = """
import everloop
with everloop.start_run(experiment="flights") as run:
    run.log_params({"a": 1})
    for i in range(1000): run.log(loss=i, step=i)
    open("model", "w").write("weights"); run.log_artifact("model"); open("model", "w").write("changed since")
"""
    exits, told = ran(code, EVERLOOP_HUB_URL=f"http://127.0.0.1:{free_port()}")
    assert exits == 0
    assert told.count("does not answer") == 1
    assert told.count("waits to be sent: ever sync") == 1
    moment = datetime.now(UTC)
    exits, found = ever_sync(hub.client.url, "--hub", hub.client.url)
    assert (exits, [(each.state, each.hub) for each in found]) == (0, [("sent", hub.client.url)])
    run = only_run(hub.tracking)
    assert (run.status, run.params, run.metrics) == ("finished", {"a": "1"}, {"loss": 999.0})
    assert run.ended_at
    assert run.ended_at < moment
    history = hub.tracking.metric_history(run.run_id, "loss").points
    assert [point.step for point in history] == list(range(1000))
    (artifact,) = hub.tracking.list_artifacts(run.run_id)
    assert hub.local.objects.get(artifact.digest) == b"weights"
    assert waiting() == []
    assert ever_sync(hub.client.url) == (0, [])


def test_a_hub_that_takes_the_call_and_never_answers_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(stream_module, "_LAST_WAIT_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("EVERLOOP_HUB_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        with start_run() as run:
            run.log(loss=1)
            connection, _ = silent.accept()
        assert "waits to be sent: ever sync" in capfd.readouterr().err
        connection.close()
    for thread in threading.enumerate():
        if thread.name == "everloop-hub":
            thread.join()
    assert len(waiting()) == 1


def test_offline_nothing_is_sent_before_it_is_asked_for(hub: Stores, url: str) -> None:
    with start_run(offline=True) as run:
        run.log(loss=1)
    assert hub.tracking.search_runs().runs == []
    assert ever_sync(url, "0000")[1] == ([] if not str(run.run_id).startswith("0000") else ever_sync(url)[1])
    assert [each.run_id for each in ever_sync(url, str(run.run_id)[:8])[1]] == [run.run_id]
    assert only_run(hub.tracking).status == "finished"


def test_a_sync_without_a_hub_keeps_everything_and_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    with start_run(offline=True) as run:
        run.log(loss=1)
    before = waiting()
    exits, found = ever_sync(f"http://127.0.0.1:{free_port()}")
    assert (exits, [each.state for each in found]) == (1, ["waiting"])
    assert "does not answer" in found[0].trouble
    assert waiting() == before


def test_a_killed_process_leaves_a_failed_run_with_what_it_told(hub: Stores) -> None:
    assert hub.client is not None
    code = """
import os, signal, threading, time, everloop
run = everloop.start_run(offline=True)
threading.Timer(1.0, lambda: os.kill(os.getpid(), signal.SIGKILL)).start()
for i in range(10**9):
    run.log(loss=i, step=i); time.sleep(0.0005)
"""
    assert ran(code)[0] == -signal.SIGKILL
    (file,) = waiting()
    with file.open("a") as torn:
        torn.write('{"params":{"torn":"')  # a line that the kill has cut
    exits, found = ever_sync(hub.client.url)
    assert (exits, found[0].state) == (0, "sent")
    run = only_run(hub.tracking)
    assert (run.status, run.params) == ("failed", {})
    steps = [point.step for point in hub.tracking.metric_history(run.run_id, "loss").points]
    assert steps
    assert steps == list(range(len(steps)))


def test_a_run_that_goes_on_is_left_alone_by_a_sync(hub: Stores) -> None:
    assert hub.client is not None
    with start_run(offline=True) as run:
        run.log(loss=1)
        run.flush()
        assert [each.state for each in ever_sync(hub.client.url)[1]] == ["busy"]
    assert hub.tracking.search_runs().runs == []
    assert [each.state for each in ever_sync(hub.client.url)[1]] == ["sent"]


def test_two_syncs_at_once_send_each_entry_once(hub: Stores) -> None:
    assert hub.client is not None
    ids = []
    for _ in range(6):
        stream = open_stream(SPOOL, refs.new_run_id(), experiment="flights")
        stream.put([Entry(metrics=[point(step)], tags={"last": str(step)}) for step in range(300)])
        stream.end("finished")
        ids.append(stream.run_id)
    code = "import sys; sys.argv = ['ever', 'sync']; from everloop.cli import main; main()"
    processes = [started(code, EVERLOOP_HUB_URL=hub.client.url) for _ in range(3)]
    for process in processes:
        out, errors = process.communicate(timeout=120)
        assert process.returncode == 0, out + errors
    assert {run.run_id: (run.status, run.tags) for run in hub.tracking.search_runs().runs} == dict.fromkeys(
        ids, ("finished", {"last": "299"})
    )
    for run_id in ids:
        assert len(hub.tracking.metric_history(run_id, "loss").points) == 300
    assert waiting() == []


def test_a_sync_that_is_killed_again_and_again_is_simply_repeated(hub: Stores) -> None:
    assert hub.client is not None
    stream = open_stream(SPOOL, refs.new_run_id(), experiment="flights")
    for step in range(2000):
        stream.put([Entry(metrics=[point(step)], tags={"last": str(step), "pad": "x" * 3000})])
    stream.put_text("note", "n" * 1000)
    stream.end("finished")
    code = "import sys; sys.argv = ['ever', 'sync']; from everloop.cli import main; main()"
    for goal in (0, 1, 500, 1200):
        process = started(code, EVERLOOP_HUB_URL=hub.client.url)
        while process.poll() is None and hub.tracking.search_runs().runs == []:
            time.sleep(0.005)
        while process.poll() is None and len(hub.tracking.metric_history(stream.run_id, "loss").points) < goal:
            time.sleep(0.005)
        process.kill()
        process.communicate()
    assert ever_sync(hub.client.url)[0] == 0
    assert waiting() == []
    run = only_run(hub.tracking)
    assert (run.status, run.tags["last"]) == ("finished", "1999")
    assert [each.step for each in hub.tracking.metric_history(run.run_id, "loss").points] == list(range(2000))
    (artifact,) = hub.tracking.list_artifacts(run.run_id)
    assert hub.local.objects.get(artifact.digest) == b"n" * 1000


# --- things that go wrong on the way


def test_a_hub_that_is_killed_and_comes_back_has_everything_once(hub_process: HubProcess) -> None:
    hub_process.start()
    code = """
import sys, everloop
run = everloop.start_run(experiment="flights")
for line in sys.stdin:
    for i in range(int(line), int(line) + 500): run.log(loss=i, step=i)
    run.flush()
run.end()
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        env=os.environ | {"EVERLOOP_HUB_URL": hub_process.url},
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    for start in range(0, 3000, 500):
        print(start, file=process.stdin, flush=True)
        time.sleep(0.4)  # long enough for a batch to be on its way when the hub dies, whichever it is
        if start % 1000 == 0:
            hub_process.kill()
        else:
            hub_process.start()
    _, told = process.communicate(timeout=120)
    assert process.returncode == 0
    assert told.count("does not answer") <= 1
    if "waits to be sent" in told:
        assert [each.state for each in ever_sync(hub_process.url)[1]] == ["sent"]
    tracking = hub_process.client.tracking
    run = only_run(tracking)
    assert run.status == "finished"
    assert [each.step for each in tracking.metric_history(run.run_id, "loss").points] == list(range(3000))
    assert waiting() == []


class Losing:
    """A store each of whose answers gets lost every other time, after the work is done."""

    def __init__(self, store: TrackingStore) -> None:
        self._store = store
        self._calls: dict[str, int] = {}

    def __getattr__(self, name: str) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            found = getattr(self._store, name)(*args, **kwargs)
            self._calls[name] = self._calls.get(name, 0) + 1
            if self._calls[name] % 2:
                raise UnavailableError("the answer was lost")
            return found

        return call


class LosingHub:
    def __init__(self, store: TrackingStore) -> None:
        self.tracking: Any = Losing(store)

    def put_file(self, path: Path) -> str:
        return hashlib.sha256(path.read_bytes()).hexdigest()


def point(step: int) -> Metric:
    return Metric(key="loss", value=1.0, step=step, logged_at=NOON)


def segment(*entries: Entry, run_id: str | None = None) -> Segment:
    header = Header(run_id=run_id or refs.new_run_id(), experiment="flights", name="", started_at=NOON, tags={}, hub="")
    made = Segment(SPOOL, header)
    made.add(entries)
    return made


def test_lost_answers_store_nothing_twice(platform: Stores) -> None:
    made = segment(
        *(Entry(tags={"t": str(i)}, edges=[Edge(source="a", relation="r", target=str(i))]) for i in range(9))
    )
    made.add([Entry(ended=Ended("finished", NOON))])
    sender = Sender(made.path, LosingHub(platform.tracking), pytest.fail)
    tries = 0
    while not sender.is_done and tries < 100:
        tries += 1
        try:
            sender.send()
        except UnavailableError:
            platform.tracking.log(sender.reader.header.run_id, tags={"t": "changed by a person"})
    made.close()
    run = only_run(platform.tracking)
    assert tries > 2
    assert (run.status, run.ended_at) == ("finished", NOON)
    assert len(platform.tracking.edges_of("a")) == 9
    assert run.tags == {"t": "changed by a person"}


def test_another_sender_goes_on_where_the_first_was_killed(hub: Stores) -> None:
    made = segment(*(Entry(metrics=[point(i)], params={f"p{i}": "x" * 5000}) for i in range(1000)))

    class Here(LosingHub):
        def __init__(self) -> None:
            self.tracking = hub.tracking

    first = Sender(made.path, Here(), pytest.fail)
    sent = first.send()
    assert 0 < sent < 1000
    second = Sender(made.path, Here(), pytest.fail)
    while second.send():
        pass
    first.send()  # the first one lives after all, and repeats what it had not heard of
    assert len(hub.tracking.metric_history(first.reader.header.run_id, "loss").points) == 1000


@pytest.mark.parametrize("cut", ["finish_run", "append"])
def test_an_end_that_was_cut_off_is_the_end_that_was_told(hub: Stores, cut: str) -> None:
    made = segment(Entry(params={"a": "1"}), Entry(ended=Ended("finished", NOON)))

    class Cut:
        """Dies with the last answer of an operation."""

        def __init__(self) -> None:
            self.tracking: Any = self

        def __getattr__(self, name: str) -> Any:
            return getattr(hub.tracking, name)

        def finish_run(self, *words: Any) -> None:
            hub.tracking.finish_run(*words)
            if cut == "finish_run":
                raise UnavailableError("the hub was killed")

        def append(self, run_id: str, source: str, after: int, upto: int, **rest: Any) -> int:
            stored = hub.tracking.append(run_id, source, after, upto, **rest)
            if upto == 2:
                raise UnavailableError("the hub was killed")
            return stored

    sender = Sender(made.path, Cut(), pytest.fail)
    with pytest.raises(UnavailableError):
        sum(iter(sender.send, 0))
    made.close()
    told: list[str] = []
    assert hub.client is not None
    (found,) = sync(SPOOL, hub.client.url, tell=told.append)
    assert (found.state, told) == ("sent", [])
    assert (only_run(hub.tracking).status, only_run(hub.tracking).ended_at) == ("finished", NOON)


def test_a_full_disk_is_told_once_and_the_training_goes_on(hub: Stores) -> None:
    assert hub.client is not None
    code = """
import resource, signal, everloop
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
run = everloop.start_run(experiment="flights", offline=True)
run.log_param("a", 1)
resource.setrlimit(resource.RLIMIT_FSIZE, (20000, resource.RLIM_INFINITY))
for i in range(3000):
    run.log_summary({"loss": i})
    if i % 50 == 0: run.flush()
open("model", "w").write("x" * 20000)
resource.setrlimit(resource.RLIMIT_FSIZE, (10000, resource.RLIM_INFINITY))
run.log_artifact("model")
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
run.log_param("b", 2)
run.end()
print("trained")
"""
    exits, told = ran(code)
    assert exits == 0
    assert "trained" in told
    assert told.count("cannot be written (File too large)") == 1
    assert told.count("artifact model is not kept") == 1
    assert ever_sync(hub.client.url)[0] == 0
    run = only_run(hub.tracking)
    assert (run.status, run.params) == ("finished", {"a": "1", "b": "2"})  # room came back in time, so nothing is lost
    assert len(hub.tracking.metric_history(run.run_id, "loss").points) == 3000


def test_a_spool_that_cannot_be_made_is_told_and_the_training_goes_on(tmp_path: Path) -> None:
    (tmp_path / ".everloop").write_text("a file where the folder should be")
    exits, told = ran("import everloop\nwith everloop.start_run(offline=True) as r: r.log(a=1)\nprint('trained')")
    assert (exits, told.count("cannot be written (Not a directory)")) == (0, 1)
    assert "trained" in told
    assert "2 entries are lost" in told


def test_a_damaged_line_is_told_and_kept_with_what_follows(hub: Stores) -> None:
    made = segment(Entry(params={"a": "1"}), Entry(params={"b": "2"}))
    made.close()
    text = made.path.read_text().splitlines(keepends=True)
    made.path.write_text("".join([*text[:2], "nonsense\n", *text[2:]]))
    told: list[str] = []
    assert hub.client is not None
    (found,) = sync(SPOOL, hub.client.url, tell=told.append)
    assert found.state == "sent"
    assert f"{made.path.name}:3: is damaged" in told[0]
    assert only_run(hub.tracking).status == "failed"
    assert [path.suffix for path in waiting()] == [".damaged"]


def test_a_file_that_is_no_spool_is_named(hub: Stores) -> None:
    folder = SPOOL / refs.new_run_id()
    folder.mkdir(parents=True)
    (folder / "1-a.jsonl").write_text("{}\n")
    with pytest.raises(InvalidError, match=r"1-a\.jsonl:1: is no spool"):
        spool.Reader(folder / "1-a.jsonl")
    assert hub.client is not None
    (found,) = sync(SPOOL, hub.client.url)
    assert (found.state, found.entries) == ("waiting", 0)
    assert "is no spool" in found.trouble

"""Jobs on a Ray cluster of two nodes, which share a remote and nothing else with the workspace."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from everloop import pipelines
from everloop.compute.job import Ended, Job, Output, Resources
from everloop.compute.ray import RayExecutor
from everloop.errors import EverloopError, InvalidError, NotFoundError
from everloop.pipelines.farjob import FarJobs
from everloop.workspace import Workspace, remotes
from tests.stores import free_port

# Ray leaves the logs of its client server open until they are collected.
pytestmark = pytest.mark.filterwarnings("ignore:Exception ignored in.*ray_client_server")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The head, which runs nothing, and one node; the tests add and remove others."""
    patch = pytest.MonkeyPatch()
    patch.setenv("EVERLOOP_WORK_DIR", str(tmp_path_factory.mktemp("work")))
    patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    from ray.cluster_utils import Cluster

    small: dict[str, Any] = {"object_store_memory": 80_000_000}
    head = {"num_cpus": 0, "include_dashboard": False, "ray_client_server_port": free_port(), **small}
    made = Cluster(initialize_head=True, head_node_args=head)
    made.add_node(num_cpus=1, resources={"first": 1}, **small)
    made.wait_for_nodes()
    yield made
    made.shutdown()
    patch.undo()


@pytest.fixture
def executor(cluster: Any, workspace: Workspace, tmp_path: Path) -> Iterator[RayExecutor]:
    remotes.add(workspace.configuration, "far", str(tmp_path / "remote"), default=True)
    made = RayExecutor(f"ray:{cluster.address}", FarJobs(workspace.root))
    yield made
    made.close()


@pytest.fixture
def run(executor: RayExecutor, workspace: Workspace, tmp_path: Path) -> Callable[..., tuple[Ended, str]]:
    def go(script: str, should_stop: Callable[[], bool] = lambda: False, **fields: Any) -> tuple[Ended, str]:
        output = Output(tmp_path / "log", lambda _: None)
        job = Job(name="train", scripts=(script,), root=workspace.root, **fields)
        try:
            return executor.run(job, output, should_stop), output.path.read_text()
        finally:
            output.close()

    return go


def test_inputs_go_there_and_outputs_come_back(workspace: Workspace, run: Any) -> None:
    (workspace.root / "data").mkdir()
    (workspace.root / "data/a.csv").write_text("1\n")
    (workspace.root / "train.sh").write_text(
        "cat data/a.csv helper.txt > model/weights\necho said; echo $X $DVC_ROOT\n"
    )
    (workspace.root / "helper.txt").write_text("nobody declares it\n")
    workspace.add(["data"])
    contents = {path: workspace.measure(path) for path in ("data", "train.sh")}
    ended, said = run(
        "mkdir -p model && . ./train.sh",
        environment={"X": "given"},
        inputs={path: content.md5 for path, content in contents.items() if content},
        outputs=("model", "never"),
    )
    assert ended == Ended()
    assert (workspace.root / "model/weights").read_text() == "1\nnobody declares it\n"
    assert said.startswith("said\ngiven /")
    assert str(workspace.root) not in said


def test_a_failing_script_is_told_with_what_it_printed(run: Any) -> None:
    ended, said = run("echo before; exit 7")
    assert (ended.code, ended.script) == (7, "echo before; exit 7")
    assert said == "before\n"


def test_outputs_that_are_kept_are_there(workspace: Workspace, run: Any) -> None:
    (workspace.root / "kept").write_text("old\n")
    ended, _ = run("echo new >> kept", outputs=("kept",))
    assert ended == Ended()
    assert (workspace.root / "kept").read_text() == "old\nnew\n"


def test_a_stop_ends_the_scripts(run: Any, tmp_path: Path) -> None:
    started = tmp_path / "started"
    ended, _ = run(f"touch {started}; sleep 300; touch {tmp_path}/survived", should_stop=started.exists)
    assert ended.was_stopped
    assert not (tmp_path / "survived").exists()


def test_a_lost_node_runs_the_job_again_elsewhere(cluster: Any, workspace: Workspace, run: Any, tmp_path: Path) -> None:
    second = cluster.add_node(num_cpus=1, resources={"second": 1}, object_store_memory=80_000_000)
    cluster.wait_for_nodes()
    first = next(node for node in cluster.list_all_nodes() if node not in (cluster.head_node, second))
    marks = tmp_path / "marks"
    marks.mkdir()
    lost: list[Any] = []

    def lose() -> None:
        while not list(marks.iterdir()):
            time.sleep(0.05)
        pid = int(next(marks.iterdir()).name)
        # Whose descendant the script is tells which node runs it.
        node = second if _descends(pid, second) else first
        lost.append(node)
        cluster.remove_node(node, allow_graceful=False)

    thread = threading.Thread(target=lose)
    thread.start()
    script = f'[ -z "$(ls {marks})" ] && {{ touch {marks}/$$; sleep 300; }}; echo again > made'
    ended, said = run(script, outputs=("made",))
    thread.join()
    assert lost
    assert ended == Ended()
    assert "the machine that ran train was lost; it runs again" in said
    assert (workspace.root / "made").read_text() == "again\n"


def test_what_no_machine_has_is_refused(run: Any) -> None:
    with pytest.raises(InvalidError, match="asks for 64 cpus"):
        run("true", resources=Resources(cpus=64.0))


def test_what_is_nowhere_is_told(workspace: Workspace, run: Any) -> None:
    with pytest.raises(NotFoundError, match="train reads gone, which cannot be sent"):
        run("true", inputs={"gone": "d41d8cd98f00b204e9800998ecf8427e"})


def test_a_remote_that_cannot_be_used_is_told(workspace: Workspace, run: Any, tmp_path: Path) -> None:
    (workspace.root / "data").write_text("1")
    workspace.add(["data"])
    content = workspace.measure("data")
    assert content is not None
    (tmp_path / "remote").write_text("a file")
    with pytest.raises(EverloopError, match="remote"):
        run("cat data", inputs={"data": content.md5})


def _descends(pid: int, node: Any) -> bool:
    raylets = {process.process.pid for process in node.all_processes["raylet"]}
    while pid > 1:
        if pid in raylets:
            return True
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return False


PIPELINE = """\
stages:
  one:
    cmd: python3 code.py data/x one
    deps: [code.py, data]
    params: [a]
    outs: [one]
  two:
    cmd: python3 code.py data/x two
    deps: [code.py, data]
    outs: [two]
  both:
    cmd: cat one two > both && echo '{"n":2}' > m.json
    deps: [one, two]
    outs: [both]
    metrics: [m.json: {cache: false}]
    meta: {everloop: {resources: {cpus: 0.5}}}
"""


def test_a_pipeline_runs_on_the_cluster_and_is_shared(
    workspace: Workspace, executor: RayExecutor, tmp_path: Path
) -> None:
    (workspace.root / "data").mkdir()
    (workspace.root / "data/x").write_text("x")
    (workspace.root / "params.yaml").write_text("a: 1\n")
    (workspace.root / "code.py").write_text("import sys\nopen(sys.argv[2], 'w').write(open(sys.argv[1]).read())\n")
    (workspace.root / "dvc.yaml").write_text(PIPELINE)
    workspace.add(["data"])
    assert set(pipelines.repro(workspace, executor=executor, jobs=2).ran) == {"one", "two", "both"}
    assert (workspace.root / "both").read_text() == "xx"
    assert pipelines.status(workspace) == {}
    assert pipelines.repro(workspace).ran == ()
    # A colleague with the code and the remote alone has nothing to compute.
    FarJobs(workspace.root).share_runs()
    workspace.transfers.push(run_cache=True)
    other = Workspace.init(tmp_path / "other")
    for name in ("dvc.yaml", "params.yaml", "code.py", "data.dvc"):
        shutil.copy(workspace.root / name, other.root / name)
    remotes.add(other.configuration, "far", str(tmp_path / "remote"), default=True)
    assert pipelines.repro(Workspace.open(other.root), pull=True).ran == ()
    assert (other.root / "both").read_text() == "xx"


def test_stages_run_through_ray_s_client_server(cluster: Any, workspace: Workspace, tmp_path: Path) -> None:
    remotes.add(workspace.configuration, "far", str(tmp_path / "remote"), default=True)
    stages = {
        "one": {"cmd": "echo 1 > one", "outs": ["one"]},
        "two": {"cmd": "cat one one > two", "deps": ["one"], "outs": ["two"]},
        "broken": {"cmd": "echo said; exit 3", "deps": ["two"], "outs": ["three"]},
    }
    (workspace.root / "dvc.yaml").write_text(json.dumps({"stages": stages}))
    address = f"ray://127.0.0.1:{cluster.head_node._ray_params.ray_client_server_port}"
    # In a process of its own: Ray's client is one for a whole process.
    ever = [sys.executable, "-m", "everloop", "repro", "--executor", address]
    ended = subprocess.run(ever, cwd=workspace.root, capture_output=True, check=False, text=True)
    assert ended.returncode != 0
    assert "said" in ended.stdout + ended.stderr
    assert (workspace.root / "two").read_text() == "1\n1\n"
    assert not (workspace.root / "three").exists()
    again = subprocess.run([*ever, "two"], cwd=workspace.root, capture_output=True, check=False, text=True)
    assert again.returncode == 0, again.stderr
    assert (workspace.root / "dvc.lock").is_file()

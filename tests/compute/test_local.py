from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from everloop.compute import Ended, Job, LocalExecutor, Output
from everloop.errors import FailedError, InvalidError


@pytest.fixture(autouse=True)
def shell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHELL", "/bin/sh")


@pytest.fixture
def executor():
    made = LocalExecutor()
    yield made
    made.close()


def job(root: Path, *scripts: str, **more) -> Job:
    return Job(name="job", scripts=scripts, root=root, **more)


def run(executor: LocalExecutor, job: Job, *, should_stop=lambda: False) -> tuple[Ended, list[str], str]:
    lines: list[str] = []
    output = Output(job.root / "log", lines.append)
    try:
        return executor.run(job, output, should_stop), lines, output.path.read_text()
    finally:
        output.close()


def wait_until_dead(pid: int, limit_s: float = 20.0) -> None:
    deadline = time.monotonic() + limit_s
    while is_alive(pid):
        assert time.monotonic() < deadline, f"process {pid} outlived its job"
        os.sched_yield()


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except FileNotFoundError:
        return False


def test_scripts_run_in_order_in_their_folder_with_their_variables(executor: LocalExecutor, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    scripts = ("echo one; echo ü >&2", "", 'echo "$MINE $(pwd)"; printf end')
    ended, lines, log = run(executor, job(tmp_path, *scripts, folder="sub", environment={"MINE": "yes"}))
    assert ended == Ended()
    assert lines == ["one", "ü", f"yes {tmp_path}/sub", "end"]
    assert log == f"one\nü\nyes {tmp_path}/sub\nend"


def test_first_script_that_fails_ends_the_job(executor: LocalExecutor, tmp_path: Path) -> None:
    ended, lines, _ = run(executor, job(tmp_path, "echo 1", "exit 3", "echo 2"))
    assert ended == Ended(code=3, script="exit 3")
    assert lines == ["1"]


def test_signal_and_command_that_is_not_there_have_the_codes_of_a_shell(
    executor: LocalExecutor, tmp_path: Path
) -> None:
    assert run(executor, job(tmp_path, "kill -9 $$"))[0].code == 137
    assert run(executor, job(tmp_path, "no-such-command"))[0].code == 127


def test_shell_that_is_not_there_is_named(
    executor: LocalExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHELL", "/no/such/shell")
    with pytest.raises(FailedError, match=r"could not be run: .*No such file"):
        run(executor, job(tmp_path, "true"))
    monkeypatch.setenv("SHELL", "/bin/sh")
    assert run(executor, job(tmp_path, "true"))[0] == Ended()


def test_missing_folder_is_named(executor: LocalExecutor, tmp_path: Path) -> None:
    with pytest.raises(InvalidError, match="folder nowhere does not exist"):
        run(executor, job(tmp_path, "true", folder="nowhere"))


def test_command_inherits_the_usual_signals_and_an_empty_input(executor: LocalExecutor, tmp_path: Path) -> None:
    # `yes` ends by SIGPIPE; one that ignores it would complain.
    ended, lines, _ = run(executor, job(tmp_path, "yes | head -1; cat; grep SigIgn /proc/self/status"))
    assert ended == Ended()
    assert lines[0] == "y"
    ignored = int(lines[1].split()[1], 16)
    assert not ignored & (1 << signal.SIGPIPE - 1 | 1 << signal.SIGXFSZ - 1)


def test_much_output_and_a_long_environment_come_whole(executor: LocalExecutor, tmp_path: Path) -> None:
    long = "x" * 100_000
    script = 'i=0; while [ $i -lt 3000 ]; do echo "$i"; i=$((i+1)); done; echo ${#LONG}'
    _, lines, _ = run(executor, job(tmp_path, script, environment={"LONG": long}))
    assert lines == [*map(str, range(3000)), "100000"]


def test_request_to_stop_ends_the_whole_group_also_one_that_does_not_listen(
    executor: LocalExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("everloop.compute.local._GRACE_S", 0.2)
    pid = tmp_path / "pid"
    script = f"trap '' TERM; (sleep 100 & echo $! > {pid}.part; mv {pid}.part {pid}; wait) ; sleep 100"
    ended, _, _ = run(executor, job(tmp_path, script), should_stop=pid.exists)
    assert ended.was_stopped
    wait_until_dead(int(pid.read_text()))


def test_several_jobs_run_at_once_and_end_apart(executor: LocalExecutor, tmp_path: Path) -> None:
    codes: dict[int, int] = {}

    def one(number: int) -> None:
        folder = tmp_path / str(number)
        folder.mkdir()
        # Each waits for the next one, so they have to run at the same time.
        script = f"touch {folder}/here; while [ ! -e {tmp_path}/{(number + 1) % 4}/here ]; do :; done; exit {number}"
        codes[number] = run(executor, job(folder, script))[0].code

    threads = [threading.Thread(target=one, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert codes == {0: 0, 1: 1, 2: 2, 3: 3}


def test_command_that_leaves_something_in_the_background_is_done(executor: LocalExecutor, tmp_path: Path) -> None:
    ended, lines, _ = run(executor, job(tmp_path, "sleep 100 & echo $!"))
    assert ended == Ended()
    os.kill(int(lines[0]), signal.SIGKILL)


VICTIM = """
import os, sys, threading
from pathlib import Path
from everloop.compute import Job, LocalExecutor, Output
executor = LocalExecutor()
def run(name):
    job = Job(name=name, scripts=(f"sleep 100 & echo pid $!; wait",), root=Path(sys.argv[1]))
    executor.run(job, Output(Path(sys.argv[1]) / name, lambda line: os.write(1, f"{line}\\n".encode())), lambda: False)
for name in "abc":
    threading.Thread(target=run, args=(name,)).start()
"""


@pytest.mark.parametrize("who", ["the process", "its launcher"])
def test_nothing_outlives_a_killed_process(tmp_path: Path, who: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", VICTIM, str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as victim:
        assert victim.stdout is not None
        pids = [int(next(victim.stdout).split()[1]) for _ in range(3)]
        if who == "the process":
            victim.kill()
        else:
            # A child belongs to the thread that started it.
            threads = Path(f"/proc/{victim.pid}/task").glob("*/children")
            (launcher,) = {child for thread in threads for child in thread.read_text().split()}
            os.kill(int(launcher), signal.SIGKILL)
        try:
            victim.wait(20)
        finally:
            victim.kill()
    for pid in pids:
        wait_until_dead(pid)

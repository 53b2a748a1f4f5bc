"""What the commands of a process take is seen while they run, whoever of them started it."""

from __future__ import annotations

import queue
import subprocess
import sys
from pathlib import Path

import pytest

from everloop.pipelines.usage import Sample, Usage


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="only Linux tells of running processes in /proc")
def test_a_command_s_own_commands_are_seen() -> None:
    samples: queue.Queue[Sample] = queue.Queue()
    busy = f"exec {sys.executable} -c 'x = bytearray(50_000_000)\nwhile True: pass'"
    usage = Usage(samples.put)
    # A shell that starts a shell: what works is two processes away.
    command = subprocess.Popen(["sh", "-c", 'sh -c "$0" & echo $!; wait', busy], stdout=subprocess.PIPE)
    assert command.stdout is not None
    inner = command.stdout.readline().split()[0].decode()
    try:
        while True:
            sample = samples.get(timeout=60)
            if sample.cpu_percent > 1 and sample.memory_mb > 50:
                break
    finally:
        subprocess.run(["kill", "-9", inner], check=True)
        command.wait()
        command.stdout.close()
    used = usage.stop()
    assert used["cpu_s"] > 0
    assert used["max_memory_mb"] > 50
    assert samples.empty() or samples.get().cpu_percent >= 0

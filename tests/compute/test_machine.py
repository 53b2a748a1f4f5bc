from __future__ import annotations

import os

from everloop.compute import machine


def test_this_machine_has_processors_and_memory() -> None:
    found = machine.resources()
    assert 1 <= found.cpus <= (os.cpu_count() or 1)
    assert found.memory_bytes is None or found.memory_bytes > 2**20


def test_what_is_visible_of_the_accelerators_is_what_there_is() -> None:
    counts = [machine.resources({"CUDA_VISIBLE_DEVICES": text}).gpus for text in ("", "-1", "0,2", "GPU-8932f937")]
    assert counts == [0, 0, 2, 1]

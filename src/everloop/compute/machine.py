"""What this machine has to give to jobs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from everloop.compute.job import Resources

# The driver has a folder for each accelerator here.
_NVIDIA = Path("/proc/driver/nvidia/gpus")


def resources(environment: Mapping[str, str] = os.environ) -> Resources:
    """The processors that this process may use, the accelerators of NVIDIA that it may see, the main memory.

    Args:
        environment: `CUDA_VISIBLE_DEVICES` there says which accelerators are meant; without it all are.
    """
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        n_gpus = sum(1 for each in visible.split(",") if each.strip() and not each.strip().startswith("-"))
    else:
        n_gpus = len(list(_NVIDIA.iterdir())) if _NVIDIA.is_dir() else 0
    return Resources(cpus=float(_n_processors()), gpus=float(n_gpus), memory_bytes=_memory_bytes())


def _n_processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _memory_bytes() -> int | None:
    """None where the system does not say."""
    known = getattr(os, "sysconf_names", {})
    if "SC_PHYS_PAGES" not in known or "SC_PAGE_SIZE" not in known:
        return None
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")

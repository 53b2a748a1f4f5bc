"""Where work runs: jobs and their executors, supervised local processes."""

from everloop.compute.job import Ended, Executor, Job, Output, Resources
from everloop.compute.lifeline import hold_lifeline
from everloop.compute.local import LocalExecutor
from everloop.compute.supervisor import Child, Supervisor

__all__ = [
    "Child",
    "Ended",
    "Executor",
    "Job",
    "LocalExecutor",
    "Output",
    "Resources",
    "Supervisor",
    "hold_lifeline",
]

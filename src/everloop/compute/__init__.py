"""Where work runs: supervised local processes. Executors for jobs on clusters find their place here."""

from everloop.compute.lifeline import hold_lifeline
from everloop.compute.supervisor import Child, Supervisor

__all__ = ["Child", "Supervisor", "hold_lifeline"]

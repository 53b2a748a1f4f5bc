"""The records of work: experiments, runs, metrics, params, tags, artifacts and the edges of lineage between them.

Leaves registered models to `registry` and what is served to `serving`. `tracking.sql` (which loads SQLAlchemy) is
imported by its full path on the server side only.
"""

from everloop.tracking.run import Artifact, Edge, Experiment, Metric, Run, Status
from everloop.tracking.store import TrackingStore

__all__ = ["Artifact", "Edge", "Experiment", "Metric", "Run", "Status", "TrackingStore"]

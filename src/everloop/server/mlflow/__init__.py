"""MLflow's REST protocol on the hub's stores, for MLflow's own clients. Source: the REST API of MLflow 3.17.

Only translation lives here: what a call does is `tracking`'s. One table (`routes.py`) names every call.
"""

from everloop.server.mlflow.routes import mlflow_routes
from everloop.server.mlflow.sources import Rooms

__all__ = ["Rooms", "mlflow_routes"]

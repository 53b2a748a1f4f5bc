"""MLflow's REST protocol on the hub's stores, for MLflow's own clients. Source: the REST API of MLflow 3.17.

Only translation lives here: what a call does is `tracking`'s or `registry`'s. `routes.py` names every call.
"""

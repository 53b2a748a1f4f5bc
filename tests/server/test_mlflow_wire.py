"""MLflow's protocol as plain HTTP: the forms of answers and errors, and every way of asking wrongly."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import urlencode

import pytest
import urllib3

from everloop.server.mlflow.names import random_run_name
from everloop.server.mlflow.routes import CALLS, PREFIXES, REGISTRY_CALLS
from tests.stores import Stores


def filled(path: str) -> str:
    """A call's path with an id and a key in it."""
    return path.replace("{model_id}", "m-" + "7f" * 16).replace("{tag_key:path}", "a/b")


class Wire:
    """The hub as a plain client of MLflow's REST API sees it."""

    def __init__(self, hub: Stores) -> None:
        assert hub.client is not None
        self.url = hub.client.url

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        headers = {"content-type": "application/json"} | {
            key.replace("_", "-"): value for key, value in headers.items()
        }
        answer = urllib3.request(method, self.url + path, body=data, headers=headers, retries=False)
        return answer.status, answer.json()

    def post(self, path: str, body: Any) -> Any:
        status, value = self.ask("POST", f"/api/2.0/mlflow/{path}", body)
        assert status == 200, value
        return value

    def get(self, path: str) -> Any:
        status, value = self.ask("GET", f"/api/2.0/mlflow/{path}")
        assert status == 200, value
        return value

    def refuse(self, path: str, body: Any) -> str:
        """Ask what must be refused as a wrong parameter; return the message."""
        status, value = self.ask("POST", f"/api/2.0/mlflow/{path}", body)
        assert (status, value["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
        message: str = value["message"]
        return message


@pytest.fixture
def wire(hub: Stores) -> Wire:
    return Wire(hub)


@pytest.fixture
def run_id(wire: Wire) -> str:
    found: str = wire.post("runs/create", {"experiment_id": "0", "start_time": 1700000000123})["run"]["info"]["run_id"]
    return found


def test_a_run_on_the_wire_has_mlflows_form(wire: Wire, run_id: str) -> None:
    wire.post(
        "runs/log-metric", {"run_id": run_id, "key": "m", "value": "NaN", "timestamp": 1700000000456, "step": "7"}
    )
    wire.post("runs/log-parameter", {"run_uuid": run_id, "key": "p", "value": ""})
    wire.post("runs/set-tag", {"run_id": run_id, "key": "mlflow.user", "value": "ana", "unknown": [1]})
    found = wire.get(f"runs/get?run_id={run_id}")["run"]
    name = found["info"].pop("run_name")
    assert re.fullmatch(r"[a-z]+-[a-z]+-\d{1,3}", name)
    assert found["info"] == {
        "run_id": run_id,
        "run_uuid": run_id,
        "experiment_id": "0",
        "user_id": "ana",
        "status": "RUNNING",
        "start_time": 1700000000123,
        "artifact_uri": f"mlflow-artifacts:/0/{run_id}/artifacts",
        "lifecycle_stage": "active",
    }
    assert [metric["value"] for metric in found["data"]["metrics"]] == ["NaN"]
    assert found["data"]["params"] == [{"key": "p"}] or found["data"]["params"] == [{"key": "p", "value": ""}]
    assert {"key": "mlflow.runName", "value": name} in found["data"]["tags"]
    assert found["inputs"] == {}
    history = wire.get(f"metrics/get-history?run_uuid={run_id}&metric_key=m")
    assert history == {"metrics": [{"key": "m", "value": "NaN", "timestamp": 1700000000456, "step": 7}]}


def test_an_experiment_on_the_wire_has_mlflows_form(wire: Wire) -> None:
    made = wire.post("experiments/create", {"name": "a", "tags": [{"key": "t", "value": "x"}]})
    assert set(made) == {"experiment_id"}
    found = wire.get(f"experiments/get?experiment_id={made['experiment_id']}")["experiment"]
    assert isinstance(found.pop("creation_time"), int)
    assert isinstance(found.pop("last_update_time"), int)
    assert found == made | {
        "name": "a",
        "artifact_location": f"mlflow-artifacts:/{made['experiment_id']}",
        "lifecycle_stage": "active",
        "tags": [{"key": "t", "value": "x"}],
    }


def test_what_only_does_something_answers_an_empty_object(wire: Wire, run_id: str) -> None:
    assert wire.post("runs/set-tag", {"run_id": run_id, "key": "t", "value": "x"}) == {}
    assert wire.post("runs/delete", {"run_id": run_id}) == {}


def test_the_pages_of_mlflow_reach_every_call(wire: Wire) -> None:
    for prefix in PREFIXES:
        for call in (*CALLS, *REGISTRY_CALLS):
            path = f"{prefix}/2.0/mlflow/{filled(call.path)}"
            status, value = wire.ask(call.method, path, None if call.method == "GET" else {})
            said = "RESOURCE_DOES_NOT_EXIST" if "{" in call.path else "INVALID_PARAMETER_VALUE"
            assert status == 200 or value["error_code"] in (said, "INVALID_PARAMETER_VALUE"), path


def test_what_the_server_can_is_told(wire: Wire) -> None:
    assert urllib3.request("GET", f"{wire.url}/version").data == b"3.17.2"
    for prefix in PREFIXES:
        status, value = wire.ask("GET", f"{prefix}/3.0/mlflow/server-info")
        assert (status, value["store_type"], value["multipart_uploads_enabled"]) == (200, "SqlStore", False)


def test_what_is_not_kept_is_said_in_mlflows_form(wire: Wire) -> None:
    for method, path in (
        ("GET", "/api/2.0/mlflow/webhooks"),
        ("PATCH", "/ajax-api/2.0/mlflow/webhooks/1"),
        ("POST", "/api/3.0/mlflow/traces"),
        ("GET", "/api/2.0/mlflow/runs/create"),
    ):
        status, value = wire.ask(method, path)
        assert (status, value["error_code"]) == (404, "ENDPOINT_NOT_FOUND")
        assert path in value["message"]


def test_multipart_is_not_offered(wire: Wire) -> None:
    status, value = wire.ask("POST", "/api/2.0/mlflow-artifacts/mpu/create/0/a", {})
    assert (status, value["error_code"]) == (501, "NOT_IMPLEMENTED")


WRONG: list[tuple[str, Any, str]] = [
    ("experiments/create", {}, "Missing value for required parameter 'name'."),
    ("experiments/create", {"name": ""}, "Missing value for required parameter 'name'."),
    ("experiments/create", {"name": None}, "Missing value for required parameter 'name'."),
    ("experiments/create", {"name": 123}, "Invalid value 123 for parameter 'name' supplied"),
    ("experiments/create", {"name": "a", "tags": "foo"}, "Invalid value \"foo\" for parameter 'tags' supplied"),
    (
        "experiments/create",
        {"name": "a", "artifact_location": "/etc"},
        "for parameter 'artifact_location' supplied",
    ),
    ("runs/update", {"status": "FINISHED"}, "Missing value for required parameter 'run_id'."),
    ("runs/update", {"run_id": "a", "status": "DONE"}, "Invalid value \"DONE\" for parameter 'status' supplied"),
    ("runs/create", {"start_time": "now"}, "Invalid value \"now\" for parameter 'start_time' supplied"),
    ("runs/create", {"start_time": 10**17}, "for parameter 'start_time' supplied"),
    ("runs/create", {"start_time": -1}, "for parameter 'start_time' supplied"),
    ("runs/create", {"run_name": "a", "tags": [{"key": "mlflow.runName", "value": "b"}]}, "different values"),
    ("runs/log-metric", {"run_id": "a", "value": 1, "timestamp": 1}, "required parameter 'key'"),
    ("runs/log-metric", {"run_id": "a", "key": "k", "timestamp": 1}, "required parameter 'value'"),
    ("runs/log-metric", {"run_id": "a", "key": "k", "value": 1}, "required parameter 'timestamp'"),
    (
        "runs/log-metric",
        {"run_id": "a", "key": "k", "value": "x", "timestamp": 1},
        "for parameter 'value' supplied",
    ),
    ("runs/log-metric", {"run_id": "a", "key": "k", "value": True, "timestamp": 1}, "parameter 'value' supplied"),
    ("runs/log-batch", {"run_id": "a", "metrics": "foo"}, "Invalid value \"foo\" for parameter 'metrics' supplied"),
    ("runs/log-batch", {"run_id": "a", "metrics": [{}]}, "required parameter 'metrics[0].key'"),
    (
        "runs/log-batch",
        {"run_id": "a", "params": [{"key": "k"}, {"key": ""}]},
        "required parameter 'params[1].key'",
    ),
    ("runs/log-batch", {"run_id": "a", "params": [{"key": "k"}] * 2}, "Duplicate parameter keys"),
    ("runs/log-batch", {"run_id": "a", "params": [{"key": f"{i}"} for i in range(101)]}, "at most 100 params"),
    ("runs/log-batch", {"run_id": "a", "tags": [{"key": f"{i}"} for i in range(101)]}, "at most 100 tags"),
    ("runs/log-batch", {"run_id": "a", "tags": [{"key": "k", "value": "x" * 1_000_000}]}, "1,000,000 bytes"),
    ("runs/log-inputs", {"run_id": "a", "models": [{}]}, "required parameter 'models[0].model_id'"),
    ("runs/outputs", {"run_id": "a", "models": [{"model_id": "m-1", "step": "x"}]}, "parameter 'models[0].step'"),
    ("runs/log-inputs", {"run_id": "a", "datasets": [{"dataset": {}}]}, "parameter 'datasets[0].dataset.name'"),
    ("runs/search", {"max_results": 50_001}, "Invalid value 50001 for parameter 'max_results' supplied"),
    ("runs/search", {"max_results": 0}, "Invalid value 0 for parameter 'max_results' supplied"),
    ("runs/search", {"order_by": "a"}, "Invalid value \"a\" for parameter 'order_by' supplied"),
    ("runs/search", {"page_token": "no token"}, "token"),
    ("runs/search", b"[1]", "Invalid value [1] for parameter '' supplied"),
    ("runs/search", b"{", "no JSON"),
    ("runs/search", b'{"filter": "\xff"}', "no JSON"),
]


def test_what_is_asked_wrongly_is_refused_by_the_name_of_its_parameter(wire: Wire) -> None:
    for path, body, said in WRONG:
        assert said in wire.refuse(path, body), (path, body)


def test_a_body_is_json_or_nothing(wire: Wire) -> None:
    path = "/api/2.0/mlflow/experiments/create"
    status, value = wire.ask("POST", path, b'{"name":"a"}', content_type="text/plain")
    assert (status, value["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    assert "Content-Type" in value["message"]


def test_a_page_of_another_site_is_refused(wire: Wire) -> None:
    assert wire.ask("POST", "/api/2.0/mlflow/runs/search", {}, origin="https://evil.example")[0] == 403


def test_sql_in_a_filter_is_a_value(wire: Wire, run_id: str) -> None:
    wire.post("runs/set-tag", {"run_id": run_id, "key": "t", "value": "x' OR '1'='1"})
    for value, count in [("x'' OR ''1''=''1", 1), ("'' OR ''1''=''1", 0), ("''; DROP TABLE runs; --", 0)]:
        found = wire.post("runs/search", {"experiment_ids": ["0"], "filter": f"tags.t = '{value}'"})
        assert len(found.get("runs", [])) == count
    assert "Invalid filter" in wire.refuse("runs/search", {"filter": "tags.t = '' OR 1=1; --"})


# --- histories of many runs


def test_the_histories_of_several_runs_come_by_run_and_time(wire: Wire, run_id: str) -> None:
    other = wire.post("runs/create", {})["run"]["info"]["run_id"]
    for each, times in ((run_id, (3, 1)), (other, (2,))):
        for at in times:
            wire.post("runs/log-metric", {"run_id": each, "key": "m", "value": at, "timestamp": at, "step": 0})
    found = wire.get(f"metrics/get-history-bulk?run_id={run_id}&run_id={other}&metric_key=m")["metrics"]
    expected = [(each, at) for each, at in sorted([(run_id, 1), (run_id, 3), (other, 2)])]
    assert [(point["run_id"], point["timestamp"]) for point in found] == expected
    few = wire.get(f"metrics/get-history-bulk?run_id={run_id}&run_id={other}&metric_key=m&max_results=2")["metrics"]
    assert few == found[:2]


def test_a_history_is_sampled_between_two_steps(wire: Wire, run_id: str) -> None:
    points = [{"key": "m", "value": step, "timestamp": step, "step": step} for step in range(1000)]
    wire.post("runs/log-batch", {"run_id": run_id, "metrics": points})
    ask = f"metrics/get-history-bulk-interval?run_ids={run_id}&metric_key=m"

    def steps(more: str) -> list[int]:
        return [point["step"] for point in wire.get(ask + more)["metrics"]]

    assert steps("") == list(range(1000))
    assert steps("&max_results=5") == [0, 200, 400, 600, 999]
    assert steps("&max_results=1") == [999]
    assert steps("&start_step=10&end_step=19&max_results=10") == list(range(10, 20))
    for wrong in ("&start_step=1", "&start_step=2&end_step=1", "&max_results=0", "&max_results=2501"):
        status, value = wire.ask("GET", f"/api/2.0/mlflow/{ask}{wrong}")
        assert (status, value["error_code"]) == (400, "INVALID_PARAMETER_VALUE")


def test_too_many_runs_are_refused(wire: Wire) -> None:
    for path, name in (("get-history-bulk", "run_id"), ("get-history-bulk-interval", "run_ids")):
        ids = "&".join(f"{name}={number:032x}" for number in range(101))
        status, value = wire.ask("GET", f"/api/2.0/mlflow/metrics/{path}?{ids}&metric_key=m")
        assert status == 400
        assert "Received 101 run_ids" in value["message"]


def test_a_random_name_has_two_words_and_a_number() -> None:
    names = {random_run_name() for _ in range(200)}
    assert len(names) > 190
    assert all(re.fullmatch(r"[a-z]+-[a-z]+-\d{1,3}", name) for name in names)


# --- whatever comes

STRANGE: list[Any] = [None, True, -1, 0, 1.5, 2**63, 2**70, "", "x", "\0", "\ud800", "x" * 70_000, "NaN", "9" * 30]
STRANGE += [[], {}, [None], [1], ["x"], ["\0"], [{}], [{"key": "\0", "value": "\0"}], "'; --", "../x", "a" * 32, "0"]


def test_whatever_a_client_sends_the_hub_never_fails(wire: Wire, run_id: str) -> None:
    good = {"run_id": run_id, "experiment_id": "0", "experiment_name": "Default", "key": "k", "value": "1"}
    good |= {"timestamp": "1", "metric_key": "m", "run_ids": run_id, "new_name": "Default", "name": "n"}
    good |= {"version": "1", "alias": "best", "source": "s3://bucket/model", "stage": "Staging"}
    for call in (*CALLS, *REGISTRY_CALLS):
        for field in call.kind.__struct_fields__:
            for strange in STRANGE:
                asked = good | {field: strange}
                path = f"/api/2.0/mlflow/{filled(call.path)}"
                if call.method == "GET":
                    texts = [
                        (key, value if isinstance(value, str) else json.dumps(value)) for key, value in asked.items()
                    ]
                    query = urlencode([(key, value.encode("utf-8", "replace")[:2000]) for key, value in texts])
                    status, answer = wire.ask("GET", f"{path}?{query}")
                else:
                    status, answer = wire.ask(call.method, path, asked)
                assert status < 500, (call.path, field, str(strange)[:40], answer)
        wire.post("runs/restore", {"run_id": run_id})
        wire.post("experiments/restore", {"experiment_id": "0"})

"""The artifact proxy, by the unmodified MLflow client and plain HTTP: files up, listed, down, removed, and refused."""

from __future__ import annotations

import hashlib
import os
import socket
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest
import urllib3
from hypothesis import given
from hypothesis import strategies as st

from everloop.errors import InvalidError
from everloop.refs import check_path
from everloop.server.mlflow.places import safe_path
from tests.server.mlflowpeer import MlflowPeer, refused
from tests.stores import Stores

HOME = "/api/2.0/mlflow-artifacts/artifacts"
RUN = "b" * 32


@pytest.mark.peer
def test_a_folder_goes_up_and_comes_down(peer: MlflowPeer, tmp_path: Path) -> None:
    files = {
        "model/MLmodel": b"flavors: {}\n",
        "model/data/weights.bin": bytes(range(256)) * 9000,
        "leer ü.txt": b"",
    }
    for name, content in files.items():
        (tmp_path / "up" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "up" / name).write_bytes(content)

    def work(mlflow, client, folder):
        run_id = client.create_run("0").info.run_id
        client.log_artifacts(run_id, f"{folder}/up", "out")
        client.log_artifact(run_id, f"{folder}/up/model/MLmodel")
        listed = [
            [[each.path, each.is_dir, each.file_size] for each in client.list_artifacts(run_id, path)]
            for path in (None, "out", "out/model", "MLmodel", "none")
        ]
        client.download_artifacts(run_id, "out", folder)
        mlflow.artifacts.download_artifacts(f"runs:/{run_id}/out/model", dst_path=f"{folder}/part")
        return [listed, client.download_artifacts(run_id, "MLmodel", folder)]

    listed, single = peer(work, str(tmp_path))
    assert listed == [
        [["MLmodel", False, 12], ["out", True, None]],
        [["out/leer ü.txt", False, 0], ["out/model", True, None]],
        [["out/model/MLmodel", False, 12], ["out/model/data", True, None]],
        [],
        [],
    ]
    assert {name: (tmp_path / "out" / name).read_bytes() for name in files} == files
    assert (tmp_path / "part/model/MLmodel").exists() or (tmp_path / "part/MLmodel").exists()
    assert Path(single).read_bytes() == b"flavors: {}\n"


@pytest.mark.peer
def test_text_and_values_are_logged_as_files(peer: MlflowPeer) -> None:
    def work(mlflow, client):
        with mlflow.start_run() as run:
            mlflow.log_text("hello", "notes/a.txt")
            mlflow.log_dict({"a": 1}, "a.json")
        uri = run.info.artifact_uri
        return [mlflow.artifacts.load_text(f"{uri}/notes/a.txt"), mlflow.artifacts.load_dict(f"{uri}/a.json")]

    assert peer(work) == ["hello", {"a": 1}]


@pytest.mark.peer
def test_a_file_that_is_not_there_is_said_so(peer: MlflowPeer, tmp_path: Path) -> None:
    def work(mlflow, client, folder):
        run_id = client.create_run("0").info.run_id
        return refused(client.download_artifacts, run_id, "none.txt", folder)

    code, _ = peer(work, str(tmp_path))
    assert code in {"RESOURCE_DOES_NOT_EXIST", "INTERNAL_ERROR", "NOT_FOUND"}


@pytest.mark.peer
def test_the_same_content_is_kept_once(peer: MlflowPeer, served: Stores, tmp_path: Path) -> None:
    content = os.urandom(3 << 20)
    (tmp_path / "big.bin").write_bytes(content)

    def work(mlflow, client, path):
        for _ in range(3):
            client.log_artifact(client.create_run("0").info.run_id, path)

    peer(work, str(tmp_path / "big.bin"))
    kept = [path for path in served.local.objects.root.rglob("*") if path.is_file()]
    assert [path.read_bytes() for path in kept] == [content]


@pytest.mark.peer
def test_artifacts_are_removed_with_their_folder(peer: MlflowPeer) -> None:
    def work(mlflow, client):
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        run = client.create_run("0")
        for name in ("a/x.txt", "a/b/y.txt", "ab.txt", "c.txt"):
            client.log_text(run.info.run_id, name, name)
        repository = get_artifact_repository(run.info.artifact_uri)
        left = []
        for path in ("a", "c.txt", None):
            repository.delete_artifacts(path)
            left.append([each.path for each in client.list_artifacts(run.info.run_id)])
        return left

    assert peer(work) == [["ab.txt", "c.txt"], ["ab.txt"], []]


# --- plain HTTP


@pytest.fixture
def url(hub: Stores) -> str:
    """The artifacts of a run of the experiment `home`."""
    assert hub.client is not None
    run = hub.tracking.create_run(RUN, "home")
    return f"{hub.client.url}{HOME}/{run.experiment_id}/{RUN}/artifacts"


def call(method: str, url: str, **more: Any) -> urllib3.BaseHTTPResponse:
    return urllib3.request(method, url, retries=False, **more)


def test_a_file_comes_as_an_attachment_that_no_browser_runs(url: str) -> None:
    assert call("PUT", f"{url}/pages/x%20%C3%BC.html", body=b"<script>").status == 200
    answer = call("GET", f"{url}/pages/x%20%C3%BC.html")
    assert answer.data == b"<script>"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-disposition"] == "attachment; filename*=utf-8''x%20%C3%BC.html"
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.headers["etag"] == f'"{hashlib.sha256(b"<script>").hexdigest()}"'


def test_a_file_has_the_type_of_its_name(url: str) -> None:
    kinds = {"MLmodel": "text/plain", "a.yaml": "text/plain", "a.json": "application/json"}
    for name, kind in {**kinds, "a": "application/octet-stream"}.items():
        call("PUT", f"{url}/{name}", body=b"x")
        assert call("GET", f"{url}/{name}").headers["content-type"].partition(";")[0] == kind


def test_a_range_of_a_file_comes_alone(url: str) -> None:
    content = bytes(range(256)) * 10_000
    call("PUT", f"{url}/big", body=content)
    whole = call("GET", f"{url}/big")
    assert whole.data == content
    assert whole.headers["accept-ranges"] == "bytes"
    part = call("GET", f"{url}/big", headers={"Range": "bytes=1000000-1000009"})
    assert (part.status, part.data) == (206, content[1_000_000:1_000_010])
    assert part.headers["content-range"] == f"bytes 1000000-1000009/{len(content)}"
    rest = call("GET", f"{url}/big", headers={"Range": "bytes=2559990-", "If-Range": whole.headers["etag"]})
    assert (rest.status, rest.data) == (206, content[-10:])
    changed = call("GET", f"{url}/big", headers={"Range": "bytes=0-9", "If-Range": '"other"'})
    assert (changed.status, len(changed.data)) == (200, len(content))
    assert call("GET", f"{url}/big", headers={"Range": "bytes=9999999-"}).status == 416


def test_a_file_may_be_overwritten(url: str) -> None:
    call("PUT", f"{url}/a", body=b"one")
    call("PUT", f"{url}/a", body=b"two")
    assert call("GET", f"{url}/a").data == b"two"


def test_an_upload_that_breaks_off_leaves_nothing(url: str, hub: Stores) -> None:

    parsed = urllib3.util.parse_url(url)
    with socket.create_connection((str(parsed.host), int(parsed.port or 0))) as connection:
        head = f"PUT {parsed.path}/half HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000000\r\n\r\n"
        connection.sendall(head.encode() + b"x" * 2_500_000)
    assert call("GET", f"{url}/half").status == 404
    assert hub.tracking.list_artifacts(RUN) == []


ESCAPES = [
    "../x",
    "a/../../x",
    "%2e%2e/x",
    "%2e%2e%2fx",
    "..%2fx",
    "%252e%252e%252fx",
    "%25252e%25252e/x",
    "a%2f..%2f..%2fx",
    "%2fetc/passwd",
    "/etc/passwd",
    "%252fetc%252fpasswd",
    "..%5cx",
    "a%5c..%5cx",
    "%255c..%255cx",
    "x%00",
    "x%2500",
]


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_no_path_leaves_its_folder(url: str, hub: Stores, method: str) -> None:
    pool = urllib3.connectionpool.connection_from_url(url)
    body = b"x" if method == "PUT" else None
    for path in ESCAPES:
        # Not through urllib3.request, which would tidy the dots away before they are sent.
        with closing(pool.ConnectionCls(str(pool.host), pool.port)) as connection:
            connection.request(method, f"{urllib3.util.parse_url(url).path}/{path}", body=body)
            answer = connection.getresponse()
            assert answer.status in {400, 404}, path
            assert answer.json()["error_code"] in {"INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST"}, path
    assert hub.tracking.list_artifacts(RUN) == []
    assert [each for each in hub.local.objects.root.rglob("*") if each.is_file()] == []


def test_no_listing_leaves_its_folder(url: str, hub: Stores) -> None:
    assert hub.client is not None
    places = (f"{HOME}?", f"/api/2.0/mlflow/artifacts/list?run_id={RUN}&", f"/get-artifact?run_uuid={RUN}&")
    for path in ("../x", "/etc", "%2e%2e/x", "a\\b", "a/../../b", "a//b"):
        for place in places:
            answer = call("GET", f"{hub.client.url}{place}path={quote(path)}")
            assert (answer.status, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE"), (place, path)


@given(st.text(alphabet="./\\%25efc0a", max_size=20))
def test_what_is_let_through_stays_inside_however_often_it_is_decoded(path: str) -> None:

    try:
        plain = safe_path(path)
    except InvalidError:
        return
    for _ in range(20):
        assert not plain or check_path(plain, "path")
        plain = unquote(plain)


def test_a_run_is_found_in_its_own_experiment_only(url: str) -> None:
    call("PUT", f"{url}/a", body=b"x")
    other = url.replace(f"/{url.split('/')[-3]}/{RUN}", f"/0/{RUN}")
    answer = call("GET", f"{other}/a")
    assert (answer.status, answer.json()["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")


def test_a_folder_is_no_file(url: str) -> None:
    call("PUT", f"{url}/a/b", body=b"x")
    assert call("GET", f"{url}/a").json()["error_code"] == "INVALID_PARAMETER_VALUE"
    assert call("PUT", url, body=b"x").status in {400, 404}


def test_the_tree_is_listed_from_its_root(url: str, hub: Stores) -> None:
    assert hub.client is not None
    call("PUT", f"{url}/a/b", body=b"x")
    experiment = url.split("/")[-3]

    def listed(path: str) -> list[str]:
        fields = {"path": path} if path else {}
        assert hub.client is not None
        return [each["path"] for each in call("GET", hub.client.url + HOME, fields=fields).json()["files"]]

    assert experiment in listed("")
    assert listed(experiment) == [RUN]
    assert listed(f"{experiment}/{RUN}/artifacts") == ["a"]
    assert listed(f"{experiment}/{RUN}/artifacts/a") == ["b"]


def test_a_page_asks_for_a_file_by_its_run(url: str, hub: Stores) -> None:
    assert hub.client is not None
    call("PUT", f"{url}/a/b", body=b"x")
    assert call("GET", f"{hub.client.url}/get-artifact?run_uuid={RUN}&path=a/b").data == b"x"

"""The gateway over real HTTP with real models: answers, traffic, bad input, labels."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import sqlalchemy as sa
from sklearn.preprocessing import OrdinalEncoder

from everloop.serving.batching import Pipeline
from everloop.serving.gateway import deliver
from everloop.serving.tables import captures
from tests.serving import models
from tests.serving.gateways import Service, in_threads, output, request, service
from tests.stores import LoopbackServer

MARCH = datetime(2013, 3, 1, tzinfo=UTC)


@pytest.fixture
def delay(tmp_path: Path, sqlite_home: Path, loopback_server: LoopbackServer) -> Iterator[Service]:
    with service(tmp_path, sqlite_home, loopback_server) as made:
        yield made


class TestAnswers:
    def test_scores_are_the_models_own(self, delay: Service) -> None:
        columns = models.table(100, seed=7)
        status, answer = delay.infer(columns, id="r1")
        assert status == 200
        assert output(answer) == models.expected(columns, 1)
        assert output(answer, "prediction_id") == [f"r1-{row}" for row in range(100)]
        assert (answer["model_name"], answer["model_version"], answer["id"]) == ("delay", "1", "r1")

    def test_every_answer_of_a_batch_is_its_own(self, delay: Service) -> None:
        found: dict[int, Any] = {}

        def ask(number: int) -> None:
            columns = models.table(number + 1, seed=number)
            found[number] = (output(delay.infer(columns)[1]), models.expected(columns, 1))

        for thread in in_threads(12, ask):
            thread.join()
        assert len(found) == 12
        assert all(answered == expected for answered, expected in found.values())

    def test_an_answered_request_is_in_the_log(self, delay: Service) -> None:
        columns = models.table(3, seed=7)
        _, answer = delay.infer(columns, parameters={"occurred_at": "2013-03-01T06:00:00Z"})
        log = delay.store.captured("delay", MARCH, MARCH + timedelta(days=1))
        assert log.ids == output(answer, "prediction_id")
        assert log.score.tolist() == output(answer)
        assert log.inputs == columns
        assert log.occurred_at[0].item() == datetime(2013, 3, 1, 6)

    def test_the_same_request_again_gets_the_same_answer_and_one_capture(self, delay: Service) -> None:
        delay.add_version(2)
        columns = models.table(3)
        first = delay.infer(columns, id="r1")
        delay.deploy(2)
        assert delay.infer(columns, id="r1") == first
        assert delay.infer(columns, id="r2")[1]["model_version"] == "2"
        assert delay.store.counts("delay").requests == 2

    def test_the_same_id_with_other_inputs_is_a_conflict(self, delay: Service) -> None:
        assert delay.infer(models.table(3), id="r1")[0] == 200
        status, answer = delay.infer(models.table(3, seed=1), id="r1")
        assert (status, answer["family"]) == (409, "conflict")
        assert "'r1' was used before" in answer["error"]

    def test_a_row_that_the_model_cannot_score_fails_no_other(self, delay: Service) -> None:
        delay.store.may_capture.clear()
        strict = models.fitted(1)
        strict.named_steps["encode"].named_transformers_["text"].handle_unknown = "error"
        delay.gateway.fleet.served("delay").champion.estimator = strict
        found: dict[int, int] = {}

        def ask(number: int) -> None:
            columns = models.table(1) | {"carrier": ["ZZ" if number == 3 else "AA"]}
            found[number] = delay.infer(columns)[0]

        threads = in_threads(6, ask)
        delay.store.may_capture.set()
        for thread in threads:
            thread.join()
        assert found == {number: 422 if number == 3 else 200 for number in range(6)}

    def test_the_protocols_pages(self, delay: Service) -> None:
        assert delay.get("/v2")[1]["name"] == "everloop"
        assert delay.get("/v2/health/live") == (200, {"live": True})
        assert delay.get("/v2/health/ready") == (200, {"ready": True})
        assert delay.get("/v2/models/delay/ready") == (200, {"name": "delay", "ready": True})
        assert delay.get("/v2/models/delay/versions/1/ready")[0] == 200
        assert delay.get("/v2/models/delay/versions/2/ready")[0] == 404
        assert delay.get("/health")[1]["status"] == "ok"
        metadata = delay.get("/v2/models/delay")[1]
        assert [tensor["name"] for tensor in metadata["inputs"]] == list(models.INPUTS)
        assert delay.get("/v2/models/delay/versions/1")[1] == metadata

    def test_metrics_count_what_happened(self, delay: Service) -> None:
        delay.infer(models.table(3))
        delay.infer({})
        delay.infer(models.table(1), "/v2/models/made-up/infer")
        page = delay.get("/metrics")[1]
        assert 'everloop_gateway_requests_total{endpoint="delay",verb="infer",status="200"} 1' in page
        assert 'everloop_gateway_requests_total{endpoint="delay",verb="infer",status="400"} 1' in page
        assert 'everloop_gateway_requests_total{endpoint="",verb="infer",status="404"} 1' in page
        assert 'everloop_gateway_captured_rows_total{endpoint="delay"} 3' in page
        assert 'everloop_gateway_request_seconds_bucket{endpoint="delay",verb="infer",le="+Inf"} 2' in page
        assert "everloop_gateway_waiting_requests 0" in page
        assert "made-up" not in page


class TestTraffic:
    def test_no_request_sent_after_a_promotion_is_answered_by_the_old_champion(self, delay: Service) -> None:
        delay.add_version(2)
        delay.deploy(1, 2)
        promoted, stop = threading.Event(), threading.Event()
        statuses: list[int] = []
        late: list[str] = []

        def ask(number: int) -> None:
            count = 0
            while not stop.is_set() or count < 5:
                count += 1
                was_promoted = promoted.is_set()
                columns = models.table(2, seed=number)
                status, answer = delay.infer(columns)
                statuses.append(status)
                if status == 200 and was_promoted:
                    late.append(answer["model_version"])
                    stop.set()
                assert output(answer) == models.expected(columns, int(answer["model_version"]))

        threads = in_threads(4, ask)
        delay.deploy(2, 1, refresh=False)
        promoted.set()
        for thread in threads:
            thread.join()
        assert set(statuses) == {200}
        assert set(late) == {"2"}
        with delay.store.database.read() as connection:
            in_order = connection.execute(sa.select(captures.c.version).order_by(captures.c.seq)).scalars().all()
        assert len(in_order) == len(statuses)
        assert in_order == sorted(in_order)

    def test_rows_scored_before_a_promotion_are_scored_again_when_it_commits_first(self, delay: Service) -> None:
        delay.add_version(2)
        delay.store.may_capture.clear()
        columns = models.table(2)
        answers: list[tuple[int, Any]] = []
        (thread,) = in_threads(1, lambda _: answers.append(delay.infer(columns)))
        delay.deploy(2, refresh=False)
        delay.store.may_capture.set()
        thread.join()
        ((status, answer),) = answers
        assert (status, answer["model_version"]) == (200, "2")
        assert output(answer) == models.expected(columns, 2)

    def test_rolling_back_needs_no_load(self, delay: Service) -> None:
        delay.add_version(2)
        delay.deploy(2)
        delay.packages.clear()
        delay.deploy(1, refresh=False)
        assert delay.infer(models.table(1))[1]["model_version"] == "1"

    def test_shadows_score_the_same_rows_and_do_not_answer(self, delay: Service) -> None:
        delay.add_version(2)
        delay.deploy(1, 2)
        columns = models.table(3)
        _, answer = delay.infer(columns, id="r1")
        assert output(answer) == models.expected(columns, 1)
        assert delay.store.explain("r1-2").shadows == {2: models.expected(columns, 2)[2]}

    def test_a_shadow_that_fails_fails_no_answer(self, delay: Service) -> None:
        delay.add_version(2)
        delay.deploy(1, 2, 3)
        shadow = delay.gateway.fleet.served("delay").shadows[2]
        assert not isinstance(shadow, str)
        shadow.estimator = OrdinalEncoder()
        status, _ = delay.infer(models.table(1), id="r1")
        assert status == 200
        found = delay.store.explain("r1-0")
        assert found.shadows == {2: None, 3: None}
        assert "AttributeError" in found.shadow_errors[2]
        assert "no version 3" in found.shadow_errors[3]
        assert delay.get("/v2/health/ready")[0] == 200
        assert 'shadow_failures_total{endpoint="delay",version="2"} 1' in delay.get("/metrics")[1]

    def test_a_shadow_that_lacks_an_input_fails_no_answer(self, delay: Service) -> None:
        delay.add_version(2, names=("carrier", "hour"))
        delay.deploy(2, 1)
        status, _ = delay.infer({"carrier": ["AA"], "hour": [3]}, id="r1")
        assert status == 200
        assert "needs the inputs wind, is_holiday" in delay.store.explain("r1-0").shadow_errors[1]
        assert delay.infer(models.table(1), id="r2")[0] == 200
        assert delay.store.explain("r2-0").shadow_errors == {}

    def test_a_version_can_be_asked_by_number_when_it_runs(self, delay: Service) -> None:
        delay.add_version(2)
        delay.deploy(1, 2)
        columns = models.table(2)
        _, answer = delay.infer(columns, "/v2/models/delay/versions/2/infer")
        assert (answer["model_version"], output(answer)) == ("2", models.expected(columns, 2))
        status, answer = delay.infer(columns, "/v2/models/delay/versions/7/infer")
        assert status == 404
        assert "does not run version '7'; it runs 1, 2" in answer["error"]

    def test_a_champion_that_cannot_be_loaded_leaves_the_old_one_answering(self, delay: Service) -> None:
        delay.deploy(2, refresh=False)
        status, answer = delay.infer(models.table(1), id="r1")
        assert (status, answer["model_version"]) == (200, "1")
        assert delay.store.explain("r1-0").revision == 1
        for path in ("/v2/health/ready", "/v2/models/delay/ready"):
            status, answer = delay.get(path)
            assert status == 503
            assert "revision 2: version 2 of 'late' cannot be loaded: there is no version 2" in answer["error"]
        delay.add_version(2)
        delay.deploy(2, 1)
        delay.gateway.fleet._failures.clear()  # instead of waiting until it is tried again
        delay.gateway.fleet.refresh()
        assert delay.get("/v2/health/ready")[0] == 200
        assert delay.infer(models.table(1))[1]["model_version"] == "2"


class TestBadInput:
    def test_a_missing_field_is_named(self, delay: Service) -> None:
        columns = models.table(1)
        del columns["wind"]
        status, answer = delay.infer(columns)
        assert (status, answer["family"]) == (400, "invalid")
        assert "input 'wind' is missing" in answer["error"]

    def test_an_ill_typed_field_is_named_with_its_row(self, delay: Service) -> None:
        status, answer = delay.infer(models.table(2) | {"hour": [3, "noon"]})
        assert status == 400
        assert "input 'hour', row 1: expected an integer, found \"noon\"" in answer["error"]

    def test_an_unknown_endpoint_is_named_with_the_known_ones(self, delay: Service) -> None:
        for path in ("/v2/models/price/infer", "/v2/models/price/feedback"):
            status, answer = delay.infer(models.table(1), path) if "infer" in path else delay.post(path, {"labels": []})
            assert status == 404
            assert "no endpoint 'price'" in answer["error"]
            assert "Endpoints: delay" in answer["error"]

    def test_an_unknown_output_is_refused_before_anything_is_stored(self, delay: Service) -> None:
        assert delay.infer(models.table(1), outputs=[{"name": "price"}])[0] == 400
        assert delay.store.counts("delay").requests == 0

    def test_a_body_of_100_mb_is_refused_before_it_is_sent(self, delay: Service) -> None:
        place = urlsplit(delay.url)
        with socket.create_connection((place.hostname, place.port)) as connection:
            head = f"POST /v2/models/delay/infer HTTP/1.1\r\nHost: {place.netloc}\r\nContent-Length: 100000000\r\n\r\n"
            connection.sendall(head.encode())
            response = http.client.HTTPResponse(connection)
            response.begin()
            assert response.status == 413
            assert b"the limit is 33,554,432" in response.read()

    def test_a_body_of_100_mb_in_chunks_is_refused_on_the_way(self, delay: Service) -> None:
        place = urlsplit(delay.url)
        with socket.create_connection((place.hostname, place.port)) as connection:
            head = f"POST /v2/models/delay/infer HTTP/1.1\r\nHost: {place.netloc}\r\nTransfer-Encoding: chunked\r\n\r\n"
            connection.sendall(head.encode())
            chunk = b"%x\r\n%s\r\n" % (1 << 20, b" " * (1 << 20))
            try:
                for _ in range(100):
                    connection.sendall(chunk)
            except OSError:
                pass  # the server has closed its side: it has answered
            response = http.client.HTTPResponse(connection)
            response.begin()
            assert response.status == 413
        assert delay.infer(models.table(1))[0] == 200

    @pytest.mark.parametrize(
        ("headers", "message"),
        [({"Content-Encoding": "gzip"}, "compressed"), ({"Inference-Header-Content-Length": "10"}, "binary form")],
    )
    def test_encodings_that_are_not_spoken_are_refused(
        self, delay: Service, headers: dict[str, str], message: str
    ) -> None:
        status, answer = delay.post("/v2/models/delay/infer", b"{}", **headers)
        assert status == 400
        assert message in answer["error"]

    def test_too_many_rows_are_refused(
        self, tmp_path: Path, sqlite_home: Path, loopback_server: LoopbackServer
    ) -> None:
        with service(tmp_path, sqlite_home, loopback_server, max_rows=3) as delay:
            assert delay.infer(models.table(3))[0] == 200
            assert delay.infer(models.table(4))[0] == 413

    def test_another_host_name_is_refused(self, delay: Service) -> None:
        assert delay.post("/v2/models/delay/infer", request(models.table(1)), Host="evil.example")[0] == 403

    def test_a_log_that_fails_answers_nothing_and_the_next_request_is_served(self, delay: Service) -> None:
        with delay.store.database.write() as connection:
            connection.execute(sa.text("ALTER TABLE captures RENAME TO gone"))
        status, answer = delay.infer(models.table(1), id="r1")
        assert (status, answer["family"]) == (503, "unavailable")
        with delay.store.database.write() as connection:
            connection.execute(sa.text("ALTER TABLE gone RENAME TO captures"))
        assert delay.infer(models.table(1), id="r1")[0] == 200

    def test_more_than_fits_is_refused_at_once_and_the_rest_is_answered(self, delay: Service) -> None:
        delay.gateway.pipeline.close()
        delay.gateway.pipeline = Pipeline(delay.gateway.fleet, delay.store, deliver, max_waiting=2)
        delay.store.may_capture.clear()
        found: list[int] = []
        refused = threading.Event()

        def ask(_number: int) -> None:
            found.append(delay.infer(models.table(1))[0])
            refused.set()

        threads = in_threads(3, ask)
        refused.wait()
        assert found == [503]
        delay.store.may_capture.set()
        for thread in threads:
            thread.join()
        assert sorted(found) == [200, 200, 503]


class TestFeedback:
    @pytest.fixture
    def answered(self, delay: Service) -> Service:
        delay.infer(models.table(2), id="r1")
        return delay

    def test_a_label_is_taken_and_taken_again(self, answered: Service) -> None:
        assert answered.label(("r1-0", 1)) == (200, {"done": 1, "repeated": 0, "failed": []})
        assert answered.label(("r1-0", 1)) == (200, {"done": 0, "repeated": 1, "failed": []})
        assert answered.store.explain("r1-0").label == 1.0

    def test_a_label_with_another_value_is_a_conflict(self, answered: Service) -> None:
        answered.label(("r1-0", 1))
        status, answer = answered.label(("r1-0", 0))
        assert status == 409
        assert "'r1-0' has the label 1 already" in answer["failed"][0]["error"]

    def test_an_unknown_prediction_is_named(self, answered: Service) -> None:
        status, answer = answered.label(("r1-2", 1))
        assert status == 404
        assert "made no prediction 'r1-2'" in answer["failed"][0]["error"]

    def test_of_a_mixed_batch_the_good_labels_are_kept(self, answered: Service) -> None:
        status, answer = answered.label(("r1-0", 1), ("r7-0", 1), ("r1-1", 7))
        assert status == 207
        assert (answer["done"], [each["family"] for each in answer["failed"]]) == (1, ["invalid", "not_found"])

    @pytest.mark.parametrize("body", [b"", b"[]", b'{"labels": [{"prediction_id": "r1-0", "label": "yes"}]}'])
    def test_a_malformed_body_is_refused(self, answered: Service, body: bytes) -> None:
        status, answer = answered.post("/v2/models/delay/feedback", body)
        assert status == 400
        assert "the feedback is not" in answer["error"]

"""The search language: what each text means, and what is said of a text that means nothing."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.errors import InvalidError
from everloop.tracking.filters import (
    Condition,
    Order,
    parse_experiment_filter,
    parse_experiment_order,
    parse_model_filter,
    parse_model_key,
    parse_run_filter,
    parse_run_order,
)


@pytest.mark.parametrize(
    ("text", "kind", "key", "comparator", "value"),
    [
        ("metrics.a > 3", "metric", "a", ">", 3.0),
        ("metric.a>=-1.5e3", "metric", "a", ">=", -1500.0),
        ("metrics.a<.5", "metric", "a", "<", 0.5),
        ('metrics."a b" != 3', "metric", "a b", "!=", 3.0),
        ("`metrics`.`a.b` <= 3", "metric", "a.b", "<=", 3.0),
        ("metrics.val/loss-1:x = 0", "metric", "val/loss-1:x", "=", 0.0),
        ("params.a = 'x'", "param", "a", "=", "x"),
        ('parameters.a.b != "x AND y"', "param", "a.b", "!=", "x AND y"),
        ("param.a LIKE '%x_'", "param", "a", "LIKE", "%x_"),
        ("parameter.a ilike 'X'", "param", "a", "ILIKE", "X"),
        ("params.in is  null", "param", "in", "IS NULL", None),
        ("tags.mlflow.source.name IS NOT NULL", "tag", "mlflow.source.name", "IS NOT NULL", None),
        ("tag.`a 'b'` = \"it's\"", "tag", "a 'b'", "=", "it's"),
        ("tag.a = 'it''s'", "tag", "a", "=", "it's"),
        ("tag.a = ''", "tag", "a", "=", ""),
        ("status = 'FINISHED'", "attribute", "status", "=", "finished"),
        ("attributes.status IN ('FAILED', \"KILLED\",)", "attribute", "status", "IN", ("failed", "killed")),
        ("run_id not in ('a')", "attribute", "run_id", "NOT IN", ("a",)),
        ("attr.`run name` = 'x'", "attribute", "run_name", "=", "x"),
        ("tags.mlflow.runName LIKE 'x'", "attribute", "run_name", "LIKE", "x"),
        ("run.Created > 1700000000123", "attribute", "start_time", ">", 1700000000123.0),
        ("artifact_uri LIKE '%'", "attribute", "artifact_uri", "LIKE", "%"),
        ("datasets.context IN ('train')", "dataset", "context", "IN", ("train",)),
        ("dataset.digest = 'd'", "dataset", "digest", "=", "d"),
    ],
)
def test_a_condition_is_read(text: str, kind: str, key: str, comparator: str, value: object) -> None:
    (found,) = parse_run_filter(text)
    assert (found.kind, found.key, found.comparator, found.value) == (kind, key, comparator, value)


def test_conditions_are_joined_by_and_in_any_case() -> None:
    found = parse_run_filter("params.a='x'AND metrics.b > 1\n and\tend_time < 5")
    assert [each.key for each in found] == ["a", "b", "end_time"]


@pytest.mark.parametrize("text", ["", "  ", "\n"])
def test_nothing_is_no_condition(text: str) -> None:
    assert parse_run_filter(text) == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("metrics.a > '3'", "a numeric value for metric 'a'"),
        ("metrics.a > nan", "a numeric value"),
        ("metrics.a > 3and", "a numeric value"),
        ("metrics.a LIKE 'x'", "Invalid comparator 'LIKE'"),
        ("metrics.a IS NULL", "Invalid comparator 'IS NULL'"),
        ("params.a > 'x'", "Invalid comparator '>'"),
        ("params.a = 3", "a quoted string value for param 'a' (e.g. 'my-value') at character 12, found '3'"),
        ("params.a = x", "a quoted string value"),
        ("params.a = 'x", "a quoted string value"),
        ("params.a = 'x\"", "a quoted string value"),
        ("tags.a IN ('x')", "Invalid comparator 'IN'"),
        ("run_id IN ()", "a quoted string value"),
        ("run_id IN ('a'", "',' or ')' at character 15, found the end"),
        ("run_id = ('a')", "a quoted string value"),
        ("start_time = '3'", "a numeric value"),
        ("status IS NULL", "Invalid comparator"),
        ("PARAMS.a = 'x'", "Invalid entity type 'PARAMS' at character 1"),
        ("nothing = 'x'", "Invalid attribute key 'nothing'"),
        ("dataset.schema = 'x'", "Invalid dataset key 'schema'"),
        ("metrics.`` = 1", "expected a key"),
        ("metrics.a = 1 OR metrics.b = 2", "expected AND (there is no OR) at character 15"),
        ("metrics.a = 1 metrics.b = 2", "expected AND"),
        ("metrics.a = 1 AND", "expected a key"),
        ("metrics.a = 1;", "expected AND"),
        ("(metrics.a = 1)", "expected a key"),
        ("metrics.a", "expected a comparator"),
        ("metrics.a == 1", "a numeric value"),
        ("metrics.a = 1 AND (metrics.b = 2)", "expected a key"),
    ],
)
def test_what_is_no_filter_is_refused_with_its_place(text: str, said: str) -> None:
    with pytest.raises(InvalidError) as caught:
        parse_run_filter(text)
    assert said in caught.value.message
    assert repr(text) in caught.value.message


def test_the_hint_names_what_is_allowed() -> None:
    with pytest.raises(InvalidError, match=r"Valid keys: artifact_uri, end_time, run_id"):
        parse_run_filter("nothing = 1")


@given(st.text(min_size=1), st.text(alphabet=st.characters(exclude_characters="`"), min_size=1))
def test_any_key_and_any_value_can_be_asked_for(value: str, key: str) -> None:
    doubled = value.replace("'", "''")
    assert parse_run_filter(f"tags.`{key}` = '{doubled}'") == (Condition("tag", key, "=", value),)


@given(st.text())
def test_any_text_is_parsed_or_refused(text: str) -> None:
    for parse in (parse_run_filter, parse_experiment_filter, lambda each: parse_run_order([each])):
        with suppress(InvalidError):
            parse(text)


@pytest.mark.parametrize(
    ("text", "order"),
    [
        ("metrics.a", Order("metric", "a", descending=False)),
        ("metrics.`a b` desc", Order("metric", "a b", descending=True)),
        ('params."a" ASC', Order("param", "a", descending=False)),
        ("Created DESC", Order("attribute", "start_time", descending=True)),
        ("tag.desc", Order("tag", "desc", descending=False)),
        ("run_id", Order("attribute", "run_id", descending=False)),
    ],
)
def test_an_order_is_read(text: str, order: Order) -> None:
    assert parse_run_order([text]) == (order,)


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ([""], "expected a key"),
        (["metrics.a down"], "expected ASC, DESC or the end at character 11"),
        (["metrics.a, metrics.b"], "expected ASC"),
        (["dataset.name"], "not ordered by their datasets"),
        (["nothing"], "Invalid attribute key"),
        (["start_time", "metrics.a", "attributes.created DESC"], "duplicate fields"),
    ],
)
def test_what_is_no_order_is_refused(texts: list[str], said: str) -> None:
    with pytest.raises(InvalidError) as caught:
        parse_run_order(texts)
    assert said in caught.value.message


def test_experiments_have_keys_of_their_own() -> None:
    text = "name LIKE 'a%' AND tags.`team` IS NULL AND creation_time > 5 AND attribute.experiment_id IN ('1')"
    assert parse_experiment_filter(text) == (
        Condition("attribute", "name", "LIKE", "a%"),
        Condition("tag", "team", "IS NULL", None),
        Condition("attribute", "creation_time", ">", 5.0),
        Condition("attribute", "experiment_id", "IN", ("1",)),
    )
    order = Order("attribute", "last_update_time", descending=True)
    assert parse_experiment_order(["last_update_time DESC"]) == (order,)
    for text in ("metrics.a > 1", "run_id = 'a'"):
        with pytest.raises(InvalidError):
            parse_experiment_filter(text)


@pytest.mark.parametrize(
    ("text", "kind", "key", "comparator", "value"),
    [
        ("name = 'tree'", "attribute", "name", "=", "tree"),
        ("attributes.model_type LIKE 'class%'", "attribute", "model_type", "LIKE", "class%"),
        ("status IN ('READY')", "attribute", "status", "IN", ("ready",)),
        ("creation_time > 5", "attribute", "creation_timestamp", ">", 5.0),
        ("last_updated_timestamp_ms <= 5", "attribute", "last_updated_timestamp", "<=", 5.0),
        ("metrics.`a b` != 3", "metric", "a b", "!=", 3.0),
        ("params.depth IN ('3', '4')", "param", "depth", "IN", ("3", "4")),
        ("tags.team NOT IN ('air')", "tag", "team", "NOT IN", ("air",)),
    ],
)
def test_a_condition_on_models_is_read(text: str, kind: str, key: str, comparator: str, value: object) -> None:
    (found,) = parse_model_filter(text)
    assert (found.kind, found.key, found.comparator, found.value) == (kind, key, comparator, value)


@pytest.mark.parametrize(
    "text", ["run_name = 'a'", "dataset.name = 'a'", "metrics.a IN (1)", "metrics.a > 'x'", "a.b = 'c'"]
)
def test_what_is_no_condition_on_models_is_refused(text: str) -> None:
    with pytest.raises(InvalidError, match="Invalid filter string"):
        parse_model_filter(text)


def test_models_are_ordered_by_attributes_and_by_metrics_of_any_key() -> None:
    assert parse_model_key("creation_time") == ("attribute", "creation_timestamp")
    assert parse_model_key("attributes.name") == ("attribute", "name")
    assert parse_model_key("metrics.val loss/a.b") == ("metric", "val loss/a.b")
    for wrong in ("params.a", "tags.a", "metrics.", "accuracy", "", "attributes."):
        with pytest.raises(InvalidError, match="Invalid order by field name"):
            parse_model_key(wrong)

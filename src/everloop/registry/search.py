"""Searches over models and versions, in MLflow's language, a page at a time."""

from __future__ import annotations

import sqlalchemy as sa

from everloop.errors import InvalidError
from everloop.registry.model import ModelPage, VersionPage
from everloop.registry.rows import RegistryRows
from everloop.registry.tables import model_tags, models, version_tags, versions
from everloop.storage.comparisons import compare, compare_text, compare_time
from everloop.storage.database import Database
from everloop.storage.filters import ATTRIBUTE, TAG, Condition, Grammar, Order, parse_filter, parse_order
from everloop.storage.order import Term
from everloop.storage.pages import sorted_page

PROMPT_TAG = "mlflow.prompt.is_prompt"
"""MLflow keeps prompts as models with this tag, and a search that does not ask for them leaves them out."""

_MODELS = Grammar(
    entities={**TAG, **ATTRIBUTE},
    texts=frozenset(["name"]),
    numbers=frozenset(["creation_timestamp", "last_updated_timestamp"]),
    aliases={"timestamp": "last_updated_timestamp"},
    nullable=frozenset(["tag"]),
)
_VERSIONS = Grammar(
    entities={**TAG, **ATTRIBUTE},
    texts=frozenset(["name", "run_id", "source_path", "model_id"]),
    numbers=frozenset(["version_number", "creation_timestamp", "last_updated_timestamp"]),
    aliases={"version": "version_number", "source": "source_path"},
    nullable=frozenset(["tag"]),
)
_TIMES = frozenset(["creation_timestamp", "last_updated_timestamp"])


class SqlRegistrySearch(RegistryRows):
    """The part of `RegistryStore` that searches. Thread-safe."""

    def search_models(
        self,
        filter: str = "",  # noqa: A002  the word of MLflow and of everyone who searches
        order_by: list[str] | None = None,
        limit: int = 100,
        after: str = "",
    ) -> ModelPage:
        wanted = [self._model_condition(each) for each in parse_filter(filter, _MODELS)]
        orders = parse_order(order_by or [], _MODELS)
        terms = [self._model_term(each) for each in orders]
        if "name" not in {each.key for each in orders}:
            terms.append(self._text_term(models.c.name, is_descending=False))
        query = sa.select(models).where(models.c.deleted_at.is_(None), *wanted)
        with self.database.read() as connection:
            rows, place = sorted_page(connection, query, terms, limit, after)
            return ModelPage(models=self._models(connection, rows), next=place)

    def search_versions(
        self,
        filter: str = "",  # noqa: A002  the word of MLflow and of everyone who searches
        order_by: list[str] | None = None,
        limit: int = 10_000,
        after: str = "",
    ) -> VersionPage:
        wanted = [self._version_condition(each) for each in parse_filter(filter, _VERSIONS)]
        orders = parse_order(order_by or [], _VERSIONS)
        terms = [self._version_term(each) for each in orders]
        given = {each.key for each in orders}
        if not orders:
            terms.append(_time_term(versions.c.updated_at, is_descending=True))
        if "name" not in given:
            terms.append(self._text_term(versions.c.model, is_descending=False))
        if "version_number" not in given:
            terms.append(Term(value=versions.c.version, kind=int, is_descending=True))
        query = sa.select(versions).where(versions.c.deleted_at.is_(None), *wanted)
        with self.database.read() as connection:
            rows, place = sorted_page(connection, query, terms, limit, after)
            return VersionPage(versions=self._versions(connection, rows), next=place)

    def _model_condition(self, asked: Condition) -> sa.ColumnElement[bool]:
        if asked.kind == "tag":
            return _tagged(self.database, model_tags, model_tags.c.model == models.c.name, asked)
        if asked.key in _TIMES:
            return compare_time(_time(models, asked.key), asked)
        return compare_text(self.database, models.c.name, asked)

    def _version_condition(self, asked: Condition) -> sa.ColumnElement[bool]:
        mine = sa.and_(version_tags.c.model == versions.c.model, version_tags.c.version == versions.c.version)
        if asked.kind == "tag":
            return _tagged(self.database, version_tags, mine, asked)
        if asked.key in _TIMES:
            return compare_time(_time(versions, asked.key), asked)
        if asked.key == "version_number":
            return compare(versions.c.version, asked.comparator, asked.value)
        return compare_text(self.database, _TEXT_COLUMNS[asked.key], asked)

    def _model_term(self, order: Order) -> Term:
        _check_order(order)
        if order.key in _TIMES:
            return _time_term(_time(models, order.key), is_descending=order.descending)
        return self._text_term(models.c.name, is_descending=order.descending)

    def _version_term(self, order: Order) -> Term:
        _check_order(order)
        if order.key in _TIMES:
            return _time_term(_time(versions, order.key), is_descending=order.descending)
        if order.key == "version_number":
            return Term(value=versions.c.version, kind=int, is_descending=order.descending)
        return self._text_term(_TEXT_COLUMNS[order.key], is_descending=order.descending)

    def _text_term(self, column: sa.Column[str], *, is_descending: bool) -> Term:
        # By code point on both databases, whatever the server's language is.
        value = column if self.database.is_sqlite else sa.collate(column, "C")
        return Term(value=value, kind=str, is_descending=is_descending)


_TEXT_COLUMNS = {
    "name": versions.c.model,
    "run_id": versions.c.run_id,
    "source_path": versions.c.source,
    "model_id": versions.c.model_id,
}


def _check_order(order: Order) -> None:
    if order.kind != "attribute":
        raise InvalidError(f"models are not ordered by their {order.kind}s: {order.key[:100]!r}")


def _time(table: sa.Table, key: str) -> sa.Column[object]:
    return table.c.created_at if key == "creation_timestamp" else table.c.updated_at


def _time_term(column: sa.Column[object], *, is_descending: bool) -> Term:
    return Term(value=sa.type_coerce(column, sa.BigInteger), kind=int, is_descending=is_descending)


def _tagged(
    database: Database, table: sa.Table, mine: sa.ColumnElement[bool], asked: Condition
) -> sa.ColumnElement[bool]:
    found = sa.select(sa.literal(1)).select_from(table).where(mine, table.c.key == asked.key)
    if asked.comparator in ("IS NULL", "IS NOT NULL"):
        return sa.exists(found) if asked.comparator == "IS NOT NULL" else ~sa.exists(found)
    if (asked.key, asked.comparator) == (PROMPT_TAG, "!="):
        # Clients mean: leave prompts out. Whoever lacks the tag is none.
        return ~sa.exists(found.where(table.c.value == str(asked.value)))
    return sa.exists(found.where(compare_text(database, table.c.value, asked)))

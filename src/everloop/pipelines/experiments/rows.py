"""The rows of a table of experiments: what each is called, and what became of it."""

from __future__ import annotations

import msgspec

from everloop.pipelines.experiments.states import Data, Range, Shown


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One baseline or experiment.

    Attributes:
        name: Of the experiment; empty for a baseline.
        rev: What the baseline is called, or the first digits of the commit.
        kind: `baseline`, `branch_commit`, or `branch_base` for the last experiment of its baseline; as DVC says it.
        created: ISO time; None is not known.
        state: `Success`, `Queued`, `Running`, `Failed`; empty is none.
        executor: Who runs it; empty is nobody.
    """

    name: str
    rev: str
    kind: str
    created: str | None
    state: str
    executor: str
    data: Data | None


def row_of(shown: Shown, kind: str, rev: str, experiment: Range | None) -> Row:
    """The row of a baseline, or of an experiment."""
    executor = experiment.executor if experiment is not None else None
    return Row(
        name=(shown.name or "") if experiment is not None else "",
        rev=rev,
        kind=kind,
        created=shown.data.timestamp if shown.data is not None else None,
        state=executor.state.capitalize() if executor is not None else "",
        executor=(executor.name or "").capitalize() if executor is not None else "",
        data=shown.data,
    )


def short(rev: str) -> str:
    """The first digits of a commit; any other name as it is."""
    return rev[:7] if len(rev) == 40 else rev

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest

from everloop.workspace import slices


@pytest.mark.parametrize("n_items", [0, 1, 63, 64, 65, 1000])
def test_results_have_the_order_of_the_items(n_items: int) -> None:
    assert slices.each(lambda part: [2 * number for number in part], range(n_items)) == [
        2 * number for number in range(n_items)
    ]


def test_large_items_are_given_out_one_by_one() -> None:
    sizes: list[int] = []

    def work(part: Sequence[int]) -> list[int]:
        sizes.append(len(part))
        return list(part)

    assert slices.each(work, range(5), item_bytes=1 << 30) == [0, 1, 2, 3, 4]
    assert sizes == [1] * 5


def test_failure_is_raised_and_nothing_runs_afterwards() -> None:
    def work(part: Sequence[int]) -> list[int]:
        if 100 in part:
            raise OSError("no space left")
        return list(part)

    before = threading.active_count()
    with pytest.raises(OSError, match="no space left"):
        slices.each(work, range(10_000))
    assert threading.active_count() == before

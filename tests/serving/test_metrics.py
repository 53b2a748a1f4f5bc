"""The page that Prometheus reads."""

from __future__ import annotations

from everloop.serving.metrics import Counter, Gauge, Histogram, render


def test_counters_add_up_per_label() -> None:
    counter = Counter("rows_total", "Rows.")
    counter.add(2, endpoint="a")
    counter.add(3, endpoint="a")
    counter.add(endpoint="b")
    assert counter.lines() == [
        "# HELP rows_total Rows.",
        "# TYPE rows_total counter",
        'rows_total{endpoint="a"} 5',
        'rows_total{endpoint="b"} 1',
    ]


def test_large_counts_are_written_exactly() -> None:
    counter = Counter("rows_total", "Rows.")
    counter.add(123_456_789)
    assert counter.lines()[-1] == "rows_total 123456789"


def test_a_histogram_counts_up_to_each_bound() -> None:
    histogram = Histogram("seconds", "Time.")
    for seconds in (0.0005, 0.001, 0.3, 60.0):
        histogram.observe(seconds, verb="infer")
    lines = histogram.lines()
    assert 'seconds_bucket{verb="infer",le="0.001"} 2' in lines
    assert 'seconds_bucket{verb="infer",le="0.5"} 3' in lines
    assert 'seconds_bucket{verb="infer",le="+Inf"} 4' in lines
    assert 'seconds_count{verb="infer"} 4' in lines


def test_label_values_are_escaped() -> None:
    counter = Counter("rows_total", "Rows.")
    counter.add(endpoint='a"b\\c\nd')
    assert counter.lines()[-1] == 'rows_total{endpoint="a\\"b\\\\c\\nd"} 1'


def test_the_page_ends_with_a_line_break() -> None:
    assert render([Gauge("depth", "Depth.", lambda: 3)]).endswith("depth 3\n")

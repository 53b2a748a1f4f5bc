"""Counters and histograms of one process in Prometheus' text format.

Owns nothing about requests: the gateway says what to count.
Source: https://prometheus.io/docs/instrumenting/exposition_formats/ (text format 0.0.4).
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Callable

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

Labels = tuple[tuple[str, str], ...]


class Counter:
    """A number per set of labels that only grows. Thread-safe."""

    def __init__(self, name: str, help_text: str) -> None:
        self.name = name
        self.help_text = help_text
        self._values: dict[Labels, float] = {}
        self._lock = threading.Lock()

    def add(self, amount: float = 1, **labels: str) -> None:
        key = tuple(labels.items())
        with self._lock:
            self._values[key] = self._values.get(key, 0) + amount

    def lines(self) -> list[str]:
        with self._lock:
            values = dict(self._values)
        return [
            f"# HELP {self.name} {self.help_text}",
            f"# TYPE {self.name} counter",
            *(f"{self.name}{_braces(key)} {value:.15g}" for key, value in values.items()),
        ]


class Gauge:
    """A number that is read when it is asked for."""

    def __init__(self, name: str, help_text: str, read: Callable[[], float]) -> None:
        self.name = name
        self.help_text = help_text
        self._read = read

    def lines(self) -> list[str]:
        return [
            f"# HELP {self.name} {self.help_text}",
            f"# TYPE {self.name} gauge",
            f"{self.name} {self._read():.15g}",
        ]


class Histogram:
    """Durations in seconds per set of labels, counted in fixed buckets. Thread-safe."""

    def __init__(self, name: str, help_text: str) -> None:
        self.name = name
        self.help_text = help_text
        self._counts: dict[Labels, list[int]] = {}
        self._sums: dict[Labels, float] = {}
        self._lock = threading.Lock()

    def observe(self, seconds: float, **labels: str) -> None:
        key = tuple(labels.items())
        with self._lock:
            counts = self._counts.setdefault(key, [0] * (len(BUCKETS_S) + 1))
            counts[bisect_left(BUCKETS_S, seconds)] += 1
            self._sums[key] = self._sums.get(key, 0.0) + seconds

    def lines(self) -> list[str]:
        with self._lock:
            counts = {key: list(each) for key, each in self._counts.items()}
            sums = dict(self._sums)
        lines = [f"# HELP {self.name} {self.help_text}", f"# TYPE {self.name} histogram"]
        for key, each in counts.items():
            total = 0
            for bound, count in zip((*BUCKETS_S, "+Inf"), each, strict=True):
                total += count
                lines.append(f"{self.name}_bucket{_braces((*key, ('le', str(bound))))} {total}")
            lines += [f"{self.name}_sum{_braces(key)} {sums[key]:.15g}", f"{self.name}_count{_braces(key)} {total}"]
        return lines


def render(metrics: list[Counter | Gauge | Histogram]) -> str:
    """Return the page that Prometheus reads."""
    return "\n".join(line for metric in metrics for line in metric.lines()) + "\n"


def _braces(labels: Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")

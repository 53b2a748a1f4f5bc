"""Models watched in production: windows of event time, drift of inputs, decay of the loss."""

from everloop.monitoring.decay import (
    LOOKS_PER_YEAR,
    DecayPolicy,
    DecayReport,
    LossSummary,
    decay,
    summarise,
    summarise_windows,
)
from everloop.monitoring.drift import ColumnDrift, DriftPolicy, DriftReport, adjusted, drift, persisting
from everloop.monitoring.windows import Span, WindowKind, window_of, windows_closed

__all__ = [
    "LOOKS_PER_YEAR",
    "ColumnDrift",
    "DecayPolicy",
    "DecayReport",
    "DriftPolicy",
    "DriftReport",
    "LossSummary",
    "Span",
    "WindowKind",
    "adjusted",
    "decay",
    "drift",
    "persisting",
    "summarise",
    "summarise_windows",
    "window_of",
    "windows_closed",
]

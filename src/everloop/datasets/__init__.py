"""Batches of data: the contract they keep, the profile that describes them, and how far two profiles are apart."""

from everloop.datasets.check import CheckReport, check
from everloop.datasets.contract import Column, Contract, RowCheck, parse_contract, read_contract
from everloop.datasets.distance import Distance, NullShift, distance, g_test, js, null_shift, psi
from everloop.datasets.profile import (
    CategoricalProfile,
    ColumnProfile,
    NumericProfile,
    Profile,
    merge,
    profile_columns,
    profile_json,
    read_profile,
)
from everloop.datasets.reading import Sample, Violation

__all__ = [
    "CategoricalProfile",
    "CheckReport",
    "Column",
    "ColumnProfile",
    "Contract",
    "Distance",
    "NullShift",
    "NumericProfile",
    "Profile",
    "RowCheck",
    "Sample",
    "Violation",
    "check",
    "distance",
    "g_test",
    "js",
    "merge",
    "null_shift",
    "parse_contract",
    "profile_columns",
    "profile_json",
    "psi",
    "read_contract",
    "read_profile",
]

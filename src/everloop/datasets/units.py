"""Naming the change of unit that would move a median as it moved.

A guess for the person who has to mend a feed; nothing is ever converted by it.
"""

from __future__ import annotations

# Changes of unit that feeds are known to make, to be named when a median moved as they would move it.
_UNITS: tuple[tuple[float, float, str], ...] = (
    (1 / 1.8, -32 / 1.8, "°F to °C"),
    (1.8, 32.0, "°C to °F"),
    (1.0, 273.15, "°C to K"),
    (1.0, -273.15, "K to °C"),
    (1.609344, 0.0, "miles to km"),
    (1 / 1.609344, 0.0, "km to miles"),
    (0.3048, 0.0, "feet to m"),
    (1 / 0.3048, 0.0, "m to feet"),
    (25.4, 0.0, "inches to mm"),
    (1 / 25.4, 0.0, "mm to inches"),
    (60.0, 0.0, "a unit to its sixtieth (hours to minutes, minutes to seconds)"),
    (1 / 60.0, 0.0, "a unit to its sixtyfold (minutes to hours, seconds to minutes)"),
    (100.0, 0.0, "a share to percent, or a unit to its hundredth"),
    (0.01, 0.0, "percent to a share, or a unit to its hundredfold"),
    (1000.0, 0.0, "a unit to its thousandth"),
    (0.001, 0.0, "a unit to its thousandfold"),
)


def unit_change(before: float | None, now: float) -> str | None:
    """Return a sentence that names the change of unit from median `before` to median `now`; None when none fits.

    One fits when it explains at least 85% of the move.
    """
    if before is None or before == now:
        return None
    distance, name = min((abs(before * factor + shift - now), name) for factor, shift, name in _UNITS)
    if distance > 0.15 * abs(before - now):
        return None
    return f"That is what a change of unit from {name} looks like."

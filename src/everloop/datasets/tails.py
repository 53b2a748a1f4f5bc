"""Tail probabilities of the distributions that tests refer to: chi-square, normal, Student's t.

Only what this project's tests need, from the standard library; scipy has all of it and is too large to require.
"""

from __future__ import annotations

import math

_EPS = 1e-15
_TINY = 1e-300


def chi_square_tail(value: float, freedom: float) -> float:
    """Return P(X >= value) for a chi-square variable with `freedom` > 0 degrees of freedom.

    Relative error below 1e-9 wherever the result is above 1e-290 and freedom at most 10,000.
    """
    if value <= 0.0:
        return 1.0
    return upper_gamma(freedom / 2.0, value / 2.0)


def normal_tail(value: float) -> float:
    """Return P(Z >= value) for a standard normal variable."""
    return 0.5 * math.erfc(value / math.sqrt(2.0))


def upper_gamma(a: float, x: float) -> float:
    """Return the regularised upper incomplete gamma function Q(a, x), for a > 0 and x >= 0.

    Source: DLMF 8.7.1 (series) below a + 1, 8.9.2 (continued fraction, by Lentz's method) above, as each converges
        fastest there.
    """
    if x <= 0.0:
        return 1.0
    log_front = a * math.log(x) - x - math.lgamma(a)
    if x < a + 1.0:
        term = total = 1.0 / a
        k = a
        while term > total * _EPS:
            k += 1.0
            term *= x / k
            total += term
        return max(0.0, 1.0 - total * math.exp(log_front))
    b = x + 1.0 - a
    c, d = 1.0 / _TINY, 1.0 / b
    fraction, i = d, 0
    while True:
        i += 1
        step = -i * (i - a)
        b += 2.0
        d = 1.0 / _away_from_zero(step * d + b)
        c = _away_from_zero(b + step / c)
        fraction *= c * d
        if abs(c * d - 1.0) < _EPS * 10:
            return math.exp(log_front) * fraction


def t_tail(value: float, freedom: float) -> float:
    """Return P(T >= value) for Student's t with `freedom` > 0 degrees of freedom (infinity: normal).

    Source: DLMF 8.17.22 (continued fraction of the incomplete beta function, by Lentz's method).
    """
    if math.isinf(freedom):
        return normal_tail(value)
    square = value * value
    half = 0.5 * _beta(freedom / 2.0, 0.5, freedom / (freedom + square), square / (freedom + square))
    return half if value >= 0.0 else 1.0 - half


def t_quantile(tail: float, freedom: float) -> float:
    """Return the t with P(T >= t) = `tail`, for 0 < tail < 1, by bisection to 1e-12 of its size."""
    if tail > 0.5:
        return -t_quantile(1.0 - tail, freedom)
    low, high = 0.0, 1.0
    while t_tail(high, freedom) > tail:
        low, high = high, high * 2.0
    while high - low > 1e-12 * high:
        middle = (low + high) / 2.0
        if t_tail(middle, freedom) > tail:
            low = middle
        else:
            high = middle
    return high


def _beta(a: float, b: float, x: float, y: float) -> float:
    """Return the regularised incomplete beta function I_x(a, b); `y` is 1 - x, given because taking it cancels."""
    if x <= 0.0 or y <= 0.0:
        return 0.0 if x <= 0.0 else 1.0
    if x > (a + 1.0) / (a + b + 2.0):
        return 1.0 - _beta(b, a, y, x)
    scale = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) - math.log(a)
    log_front = scale + a * (math.log(x) if x < 0.5 else math.log1p(-y)) + b * math.log(y)
    c, d = 1.0, 1.0 / _away_from_zero(1.0 - (a + b) * x / (a + 1.0))
    fraction, m = d, 0
    while True:
        m += 1
        for step in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1.0 / _away_from_zero(1.0 + step * d)
            c = _away_from_zero(1.0 + step / c)
            fraction *= c * d
        if abs(c * d - 1.0) < _EPS * 10:
            return math.exp(log_front) * fraction


def _away_from_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY

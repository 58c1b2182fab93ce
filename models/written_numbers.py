"""Numbers as people write them: `9,523`, `.64` as `64 %`, `yes`, `1 min 20 s`."""

import math


def percent(share: float | None) -> str:
    """`64 %`; a dash where it is not known."""
    return "–" if share is None or math.isnan(share) else f"{100 * share:z.0f} %"


def figure(value: object) -> str:
    """Three digits of a fraction, all of a whole number with separators, yes or no; a dash where it is not known."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:z.3g}"
    return str(value)


def duration(seconds: float) -> str:
    """`8 s`, `4 min 10 s`, `2 h 5 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def nats(value: float) -> str:
    """One decimal, and no `-0.0`: an estimate of a distance from samples can be below nought."""
    return f"{value:z.1f}"


FILTERS = {"nats": nats, "percent": percent, "figure": figure, "duration": duration}

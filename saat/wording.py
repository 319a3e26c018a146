"""How counts and durations are written in messages and on pages."""


def counted(count: float, noun: str, plural: str = "") -> str:
    """``1 trial``, ``2 trials``, ``0 queries``, ``0.5 GPUs``; by default a plural ends in s."""
    number = f"{count:g}" if isinstance(count, float) else str(count)
    return f"{number} {noun}" if count == 1 else f"{number} {plural or noun + 's'}"


def duration(seconds: float) -> str:
    """``45 s``, ``12 min 05 s``, ``2 h 10 min``, ``3 d 04 h``; rounded to the smaller unit."""
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    if seconds < 3599.5:
        minutes, rest = divmod(round(seconds), 60)
        return f"{minutes} min {rest:02d} s"
    if seconds < 2 * 86_400 - 30:
        hours, rest = divmod(round(seconds / 60), 60)
        return f"{hours} h {rest:02d} min"
    days, rest = divmod(round(seconds / 3600), 24)
    return f"{days} d {rest:02d} h"

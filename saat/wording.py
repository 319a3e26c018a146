"""How counts are written in messages and on pages."""


def counted(count: float, noun: str, plural: str = "") -> str:
    """``1 trial``, ``2 trials``, ``0 queries``, ``0.5 GPUs``; by default a plural ends in s."""
    number = f"{count:g}" if isinstance(count, float) else str(count)
    return f"{number} {noun}" if count == 1 else f"{number} {plural or noun + 's'}"

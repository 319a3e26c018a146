"""The exception of a search that cannot go on; torch is not imported to catch it."""


class SearchStopped(Exception):
    """The search cannot go on now (a full disk, say); it can be resumed. One line says why."""

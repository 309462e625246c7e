"""The error of our own mistakes: never caught, it crashes the task group it happens in."""


class Bug(AssertionError):  # noqa: N818 - the house word for it
    """Something that cannot happen did. The message says which invariant broke."""

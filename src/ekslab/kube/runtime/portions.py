"""Numbers that may be percentages of something (upstream: apimachinery `util/intstr`)."""


def portion(value: int | str, total: int, *, round_up: bool) -> int:
    """The number itself, or so many percent of `total`.

    >>> portion(3, 10, round_up=True), portion("25%", 10, round_up=True)
    (3, 3)
    """
    if isinstance(value, int):
        return value
    hundredfold = total * int(value.removesuffix("%"))
    return -(-hundredfold // 100) if round_up else hundredfold // 100

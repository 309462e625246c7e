"""Values as the recorder wrote them."""

import json

from ekslab.kube.api.cel import numbers, values


def show(value):
    """Type and value of whatever an expression gave."""
    match value:
        case dict():
            parts = {show(key): show(value[key]) for key in sorted(value, key=show)}
            return "{" + json.dumps(parts, separators=(",", ":"), ensure_ascii=False) + "}"
        case list():
            return "[" + ", ".join(map(show, value)) + "]"
        case values.Optional():
            return f"optional({show(value.value)})" if value.has_value else "optional.none()"
        case str():
            return json.dumps(value, ensure_ascii=False)
        case values.Timestamp():
            text = numbers.timestamp_text(value.nanoseconds)
        case values.Duration():
            text = numbers.duration_text(value.nanoseconds)
        case bytes():
            text = "[" + " ".join(map(str, value)) + "]"
        case float():
            text = numbers.shortest(value)
        case values.TypeValue():
            text = value.name
        case _:
            text = values.shown(value)
    return f"{values.name_of(value)}({text})"

"""What moto works out anew for every request, and need not.

- which methods a class of responses has: by `inspect.getmembers` over hundreds of names;
- the tags of one resource: by matching a pattern against every tag of the account.
"""

import functools
from typing import Any


def install() -> None:
    """Take the place of both. Idempotent."""
    from moto.core import responses
    from moto.core.utils import method_names_from_class
    from moto.ec2.models import core

    module = vars(responses)
    if module["method_names_from_class"] is method_names_from_class:
        known = functools.cache(lambda kind: frozenset(method_names_from_class(kind)))
        module["method_names_from_class"] = known
    tagged: Any = core.TaggedEC2Resource
    tagged.get_tags = _tags


def _tags(resource: Any) -> list[dict[str, str]]:
    from moto.ec2.utils import EC2_PREFIX_TO_RESOURCE, get_prefix

    ident = resource.id
    tags = resource.ec2_backend.tags.get(ident) if ident else None
    if not tags:
        return []
    kind = EC2_PREFIX_TO_RESOURCE.get(get_prefix(ident), "")
    return [
        {"resource_id": ident, "key": key, "value": value, "resource_type": kind}
        for key, value in tags.items()
    ]

"""Pages of EC2's lists: `MaxResults` and `NextToken`, which moto mostly ignores.

moto is asked for everything, and what it found is cut here, before anything of it is written. Which
operations have pages, and of what, is told by botocore's paginators. Without `MaxResults` a list
is whole, but for types of instances, of which EC2 never gives more than 100 at once.
"""

import copy
from collections.abc import Sequence
from typing import Any

from ekslab.cloud.gateway.faults import AwsFault
from ekslab.cloud.paging import offset_of, token_at

_EVERYTHING = 1_000_000_000
_PAGE_BY_DEFAULT = {"DescribeInstanceTypes": 100}


def install() -> None:
    """Cut EC2's answers into pages. Idempotent."""
    from moto.core.responses import ActionResult
    from moto.ec2.responses._base_response import EC2BaseResponse

    response: Any = EC2BaseResponse
    result: Any = ActionResult
    if getattr(response, "_ekslab_pages", False):
        return
    parse, execute = response.parse_parameters, result.execute_result

    def parse_parameters(response: Any, request: Any) -> None:
        parse(response, request)
        params = response.params
        response.ekslab_page = params.pop("MaxResults", None), params.pop("NextToken", None)
        params["MaxResults"] = _EVERYTHING

    def execute_result(result: Any, context: Any) -> Any:
        page = getattr(context.response, "ekslab_page", None)
        if page is not None and isinstance(result.result, dict):
            action = str(context.operation_model.name)
            result._result = _cut(action, result.result, *page)  # noqa: SLF001 - moto's field
        return execute(result, context)

    response.parse_parameters = parse_parameters
    result.execute_result = execute_result
    response._ekslab_pages = True  # noqa: SLF001 - our own mark


def _cut(
    action: str, result: dict[str, Any], size: int | None, token: str | None
) -> dict[str, Any]:
    from moto.core.utils import get_pagination_model

    paging = get_pagination_model("ec2").get(action)
    name = paging["result_key"] if paging else ""
    if not isinstance(name, str) or not isinstance(result.get(name), Sequence):
        return result
    rows = _instances(result[name]) if name == "Reservations" else result[name]
    start = _start(token, action)
    end = start + int(size) if size else start + _PAGE_BY_DEFAULT.get(action, len(rows))
    page = rows[start:end]
    following = token_at(end, action=action) if end < len(rows) else None
    if name == "Reservations":
        page = _reservations(page)
    return {**result, name: page, "NextToken": following}


def _start(token: str | None, action: str) -> int:
    if token is None:
        return 0
    offset = offset_of(token, action=action)
    if offset is None:
        raise AwsFault(
            "InvalidParameterValue",
            f"Value ( {token} ) for parameter NextToken is invalid. The token is invalid.",
        )
    return offset


def _instances(reservations: Sequence[Any]) -> list[tuple[Any, Any]]:
    """What a page of `DescribeInstances` counts, each with its reservation."""
    return [(found, instance) for found in reservations for instance in found.instances]


def _reservations(rows: Sequence[tuple[Any, Any]]) -> list[Any]:
    """The reservations of some instances, without their other instances."""
    kept: dict[str, Any] = {}
    for reservation, instance in rows:
        if reservation.id not in kept:
            kept[reservation.id] = copy.copy(reservation)
            kept[reservation.id].instances = []
        kept[reservation.id].instances.append(instance)
    return list(kept.values())

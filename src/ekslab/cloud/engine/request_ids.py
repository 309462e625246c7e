"""One id per request, the same in the header and in the body, and shaped as AWS's are (a UUID).

moto draws 52 characters for the header, one by one, and leaves `request-id` in the bodies of EC2.
"""

from typing import Any

_HEADER = "x-amzn-requestid"


def install() -> None:
    """Take the place of moto's request ids. Idempotent."""
    from moto.core import responses, serialize

    context: Any = serialize.SerializationContext
    serializer: Any = serialize.ResponseSerializer
    if getattr(context, "_ekslab_ids", False):
        return
    original = serializer.serialize

    def draw_once(context: Any, request_id: str | None = None) -> None:
        context.request_id = request_id or _draw()

    def serialize_with_id(serializer: Any, result: Any) -> Any:
        answer = original(serializer, result)
        answer["headers"][_HEADER] = serializer.context.request_id
        return answer

    context.__init__ = draw_once
    serializer.serialize = serialize_with_id
    vars(responses)["gen_amzn_requestid_long"] = _keep_or_draw
    context._ekslab_ids = True  # noqa: SLF001 - our own mark


def _keep_or_draw(headers: dict[str, Any]) -> str:
    """The id of an answer that has one, or a new one: templates and JSON texts have none."""
    request_id: str = headers.setdefault(_HEADER, _draw())
    return request_id


def _draw() -> str:
    from moto.moto_api._internal import mock_random

    return str(mock_random.uuid4())

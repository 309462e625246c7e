"""Tags of EKS objects, by ARN. These operations have errors of their own."""

from ekslab.cloud.eks.state import ACCESS_ENTRY, CLUSTER, NODEGROUP, Asked, Wire
from ekslab.cloud.gateway.faults import AwsFault
from ekslab.cloud.records import Record

_TAGS_MAX = 50


def tag_resource(asked: Asked) -> Wire:
    """`TagResource`."""
    kind, key, record = _find(asked)
    tags = {**record["wire"]["tags"], **asked.params["tags"]}
    if any(name.lower().startswith("aws:") for name in asked.params["tags"]):
        raise AwsFault("BadRequestException", "Tag keys cannot begin with aws:")
    if len(tags) > _TAGS_MAX:
        raise AwsFault("BadRequestException", f"The number of tags exceeds {_TAGS_MAX}")
    asked.state.change(kind, key, record, tags=tags)
    return {}


def untag_resource(asked: Asked) -> Wire:
    """`UntagResource`."""
    kind, key, record = _find(asked)
    gone = set(asked.params["tagKeys"])
    tags = {name: value for name, value in record["wire"]["tags"].items() if name not in gone}
    asked.state.change(kind, key, record, tags=tags)
    return {}


def list_tags_for_resource(asked: Asked) -> Wire:
    """`ListTagsForResource`."""
    return {"tags": _find(asked)[2]["wire"]["tags"]}


def _find(asked: Asked) -> tuple[str, str, Record]:
    arn = asked.params["resourceArn"]
    parts = arn.split(":", 5)
    if len(parts) != 6 or parts[2] != "eks":
        raise AwsFault("BadRequestException", f"Invalid ARN: {arn}")
    member = {CLUSTER: "arn", NODEGROUP: "nodegroupArn", ACCESS_ENTRY: "accessEntryArn"}
    for kind, name in member.items():
        for key, record in asked.state.records.under(kind, asked.state.key("")):
            if record["wire"][name] == arn:
                return kind, key, record
    raise AwsFault("NotFoundException", f"Resource was not found: {arn}", status=404)

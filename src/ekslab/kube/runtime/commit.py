"""The one way a reconciler writes an object it has changed (after kcp's `committer.go`).

Spec and status are written through different doors, so a change of both is a mistake of ours.
"""

from ekslab.kit.bug import Bug
from ekslab.kube.api.objects import editable
from ekslab.kube.api.ports import Client
from ekslab.kube.api.requests import Object
from ekslab.kube.api.resources import Resource


async def commit(client: Client, resource: Resource, old: Object, new: Object) -> Object:
    """Write what changed between `old` and `new`: the status, or the rest; nothing if equal.

    Returns the object as the server has it now. A copy is sent: `new` may share parts of `old`.

    Raises:
        ApiError: 409 if somebody else changed it since `old`.
        Bug: both status and the rest were changed.
    """
    status_changed = old.get("status") != new.get("status")
    rest_changed = any(
        old.get(key) != new.get(key) for key in old.keys() | new.keys() if key != "status"
    )
    if status_changed and rest_changed:
        raise Bug(
            f"spec and status of {resource.qualified} {new['metadata']['name']} in one commit"
        )
    if status_changed:
        return await client.update(resource, editable(new), subresource="status")
    if rest_changed:
        return await client.update(resource, editable(new))
    return old

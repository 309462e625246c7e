"""What Auto Scaling refuses before it begins: groups, instances and sizes that cannot be.

moto looks a group up and breaks over its absence (`KeyError`, `IndexError`, `StopIteration`).
"""

from collections.abc import Callable, Iterator
from typing import Any

from ekslab.cloud.gateway.faults import AwsFault

_MAKES_GROUP = "CreateAutoScalingGroup"
# Both list activities or policies of whatever group is named, and of none.
_LISTS_ANY = frozenset({"DescribeScalingActivities", "DescribePolicies"})
_OF_ONE_INSTANCE = frozenset({"TerminateInstanceInAutoScalingGroup", "SetInstanceHealth"})


def install() -> None:
    """Check every request before moto acts on it."""
    from moto.autoscaling import responses

    response: Any = responses.AutoScalingResponse
    response.call_action = _checked(response.call_action)


def _checked(original: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def call_action(response: Any) -> Any:
        action, groups = response._get_action(), response.autoscaling_backend.autoscaling_groups  # noqa: SLF001 - moto's way
        for name in _named_groups(action, response.params):
            if name not in groups:
                raise _refusal(
                    f"AutoScalingGroup name not found - AutoScalingGroup {name} not found"
                )
        if action in _OF_ONE_INSTANCE:
            _check_managed(groups, str(response.params.get("InstanceId")))
        if action == "SetDesiredCapacity":
            _check_capacity(groups, response.params)
        return original(response)

    return call_action


def _refusal(message: str) -> AwsFault:
    return AwsFault("ValidationError", message)


def _named_groups(action: str, params: Any) -> Iterator[str]:
    """The groups that a request says are there."""
    name = params.get("AutoScalingGroupName")
    if name is not None and action != _MAKES_GROUP and action not in _LISTS_ANY:
        yield str(name)
    if action in {"CreateOrUpdateTags", "DeleteTags"}:
        for tag in params.get("Tags") or ():
            yield str(tag.get("ResourceId"))


def _check_managed(groups: Any, instance_id: str) -> None:
    members = (state.instance.id for group in groups.values() for state in group.instance_states)
    if instance_id not in members:
        raise _refusal(
            "Instance Id not found - No managed instance found for instance ID: " + instance_id
        )


def _check_capacity(groups: Any, params: Any) -> None:
    group, wanted = groups[params["AutoScalingGroupName"]], int(params["DesiredCapacity"])
    for limit, relation, beyond in (
        (group.min_size, "below min", wanted < group.min_size),
        (group.max_size, "above max", wanted > group.max_size),
    ):
        if beyond:
            raise _refusal(
                f"New SetDesiredCapacity value {wanted} is {relation} value {limit} for the"
                " AutoScalingGroup."
            )

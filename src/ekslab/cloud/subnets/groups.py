"""Auto Scaling groups: instances spread over the zones, and a history of activities."""

from typing import Any

from ekslab.cloud.subnets.interfaces import addresses_of
from ekslab.cloud.subnets.zones import Member, Place, choose_places, choose_victims

_ACTIVITIES_MAX = 100
_GROUP_NAME_TAG = "aws:autoscaling:groupName"


def install() -> None:
    """Take the place of moto's launching and ending of a group's instances."""
    from moto.autoscaling import models, responses

    group: Any = models.FakeAutoScalingGroup
    group.set_desired_capacity = _set_desired_capacity
    group.replace_autoscaling_group_instances = _launch
    response: Any = responses.AutoScalingResponse
    response.describe_scaling_activities = _describe_activities


def _set_desired_capacity(group: Any, new_capacity: int | None) -> None:
    before = getattr(group, "desired_capacity", None) or 0  # unset while the group is being made
    group.desired_capacity = group.min_size if new_capacity is None else int(new_capacity)
    # A group in the middle of being made is not listed yet; its name is nobody's either.
    active = group.active_instances()
    difference = group.desired_capacity - len(active)
    if difference > 0:
        cause = (
            f"an instance was started in response to a difference between desired and actual "
            f"capacity, increasing the capacity from {len(active)} to {group.desired_capacity}."
        )
        _launch(group, difference, group.get_propagated_tags(), cause)
    elif difference < 0:
        _end(group, -difference, before)
    if group.name in group.autoscaling_backend.autoscaling_groups:
        group.autoscaling_backend.update_attached_elbs(group.name)
        group.autoscaling_backend.update_attached_target_groups(group.name)


def _launch(
    group: Any, count_needed: int, propagated_tags: dict[str, str], cause: str | None = None
) -> None:
    ec2 = group.autoscaling_backend.ec2_backend
    subnets = {
        subnet_id: ec2.get_subnet(subnet_id)
        for subnet_id in (group.vpc_zone_identifier or "").split(",")
        if subnet_id
    } or _default_subnets(group, ec2)
    places = [
        Place(subnet.id, subnet.availability_zone, addresses_of(subnet).free_count)
        for subnet in subnets.values()
    ]
    zones_now = [str(state.availability_zone) for state in group.active_instances()]
    chosen = choose_places(places, zones_now, count_needed)
    cause = cause or (
        "an instance was taken out of service in response to an EC2 health check indicating it has "
        "been terminated or stopped."
    )
    for subnet_id in chosen:
        _launch_one(group, ec2, subnets[subnet_id], propagated_tags, cause)
    if len(chosen) < count_needed:
        names = ", ".join(subnets)
        _record(
            group,
            "Launching a new EC2 instance.  Status Reason: There are not enough free addresses in "
            f"subnet '{names}' to satisfy the requested number of instances. Launching EC2 "
            "instance failed.",
            cause,
            status="Failed",
        )


def _default_subnets(group: Any, ec2: Any) -> dict[str, Any]:
    by_zone = ec2.get_default_subnets()
    return {by_zone[zone].id: by_zone[zone] for zone in group.availability_zones if zone in by_zone}


def _launch_one(group: Any, ec2: Any, subnet: Any, tags: dict[str, str], cause: str) -> None:
    from moto.autoscaling.models import InstanceState

    template = None
    profile: Any = None
    if group.ec2_launch_template:
        version = group.ec2_launch_template.get_version(group.launch_template_version)
        template = {
            "LaunchTemplateId": group.ec2_launch_template.id,
            "Version": str(version.number),
        }
        profile = version.data.get("IamInstanceProfile")
    config = group.launch_config
    reservation = ec2.run_instances(
        group.image_id,
        1,
        group.user_data,
        group.security_groups,
        instance_type=_instance_type(group),
        tags={"instance": {**group.instance_tags, **tags, _GROUP_NAME_TAG: group.name}},
        placement=subnet.availability_zone,
        launch_config=config,
        launch_template=template,
        is_instance_type_default=False,
        associate_public_ip=config.associate_public_ip_address if config else None,
        subnet_id=subnet.id,
        **_market(group),
    )
    for instance in reservation.instances:
        instance.autoscaling_group = group
        group.instance_states.append(
            InstanceState(
                instance, protected_from_scale_in=group.new_instances_protected_from_scale_in
            )
        )
        if profile:
            ec2.associate_iam_instance_profile(
                instance_id=instance.id,
                iam_instance_profile_name=profile.get("Name"),
                iam_instance_profile_arn=profile.get("Arn"),
            )
        _record(group, f"Launching a new EC2 instance: {instance.id}", cause)


def _instance_type(group: Any) -> str:
    """The first override of a mixed policy (strategy `prioritized`), else the template's type."""
    policy = group.mixed_instances_policy or {}
    for override in policy.get("LaunchTemplate", {}).get("Overrides") or ():
        if override.get("InstanceType"):
            return str(override["InstanceType"])
    return str(group.instance_type)


def _market(group: Any) -> dict[str, Any]:
    distribution = (group.mixed_instances_policy or {}).get("InstancesDistribution") or {}
    base = int(distribution.get("OnDemandBaseCapacity", 0) or 0)
    percentage = int(distribution.get("OnDemandPercentageAboveBaseCapacity", 100) or 0)
    states = group.active_instances()
    on_demand = sum(1 for state in states if state.instance.lifecycle != "spot")
    above = max(0, len(states) + 1 - base)
    if on_demand < base + -(-above * percentage // 100):
        return {}
    return {"instance_market_options": {"MarketType": "spot"}}


def _end(group: Any, count: int, before: int) -> None:
    states = {state.instance.id: state for state in group.active_instances()}
    members = [
        Member(instance_id, str(state.availability_zone), rank)
        for rank, (instance_id, state) in enumerate(states.items())
    ]
    unprotected = [name for name, state in states.items() if not state.protected_from_scale_in]
    for instance_id in choose_victims(members, unprotected, count):
        group.instance_states.remove(states[instance_id])
        group.autoscaling_backend.ec2_backend.terminate_instances([instance_id])
        _record(
            group,
            f"Terminating EC2 instance: {instance_id}",
            f"an instance was taken out of service in response to a difference between desired and "
            f"actual capacity, shrinking the capacity from {before} to {group.desired_capacity}.",
        )


def _record(group: Any, description: str, cause: str, *, status: str = "Successful") -> None:
    from moto.autoscaling.models import Activity
    from moto.core.utils import utcnow

    history: list[Any] = group.__dict__.setdefault("ekslab_activities", [])
    at = utcnow().strftime("%Y-%m-%dT%H:%M:%SZ")
    activity = Activity(description, f"At {at} {cause}", group, status_code=status)
    activity.progress = 100
    history.insert(0, activity)
    del history[_ACTIVITIES_MAX:]


def _describe_activities(response: Any) -> Any:
    from moto.core.responses import ActionResult

    name = response._get_param("AutoScalingGroupName")  # noqa: SLF001 - moto's way to parameters
    groups = response.autoscaling_backend.autoscaling_groups
    chosen = [groups[name]] if name in groups else [] if name else list(groups.values())
    activities = [
        entry for group in chosen for entry in group.__dict__.get("ekslab_activities", ())
    ]
    wanted = set(response._get_param("ActivityIds", []))  # noqa: SLF001 - moto's way to parameters
    if wanted:
        activities = [entry for entry in activities if entry.activity_id in wanted]
    return ActionResult({"Activities": activities})

"""Instances that have ended are shown for an hour of lab time, and then by nobody."""

import asyncio
from pathlib import Path
from typing import Any

from ekslab.cloud.calls import first
from ekslab.kit.virtual import VirtualLoop
from tests.cloud.lab import Lab, running_lab

HOUR_S = 3600.0


def _run(scenario: Any) -> None:
    loop = VirtualLoop()
    try:
        loop.run_until_complete(scenario)
    finally:
        loop.close()


async def _end_one(lab: Lab) -> str:
    made = await lab.query(
        "ec2",
        "RunInstances",
        ImageId="ami-12345678",
        InstanceType="t3.micro",
        MinCount=1,
        MaxCount=1,
        SubnetId=lab.cloud.account.private_subnets[0],
    )
    machine = first(made.body.decode(), "instanceId")
    await lab.query("ec2", "CreateTags", ResourceId_1=machine, Tag_1_Key="a", Tag_1_Value="b")
    await lab.query("ec2", "TerminateInstances", InstanceId_1=machine)
    return machine


async def _shown(lab: Lab, machine: str) -> bool:
    described = await lab.query("ec2", "DescribeInstances")
    tags = await lab.query("ec2", "DescribeTags")
    shown = machine.encode() in described.body
    assert (machine.encode() in tags.body) == shown
    return shown


async def _told(lab: Lab) -> list[tuple[str, Any]]:
    """Instances as the feed has them now."""
    found: dict[str, Any] = {}
    async for batch in lab.cloud.feed.follow():
        found |= {change.id: change.value for change in batch if change.kind == "ec2:instance"}
        if any(change.kind == "synced" for change in batch):
            return list(found.items())
    raise AssertionError


def test_an_ended_instance_is_shown_for_an_hour() -> None:
    async def scenario() -> None:
        async with running_lab() as lab:
            machine = await _end_one(lab)
            await asyncio.sleep(HOUR_S - 1)
            assert await _shown(lab, machine)
            assert [ident for ident, _ in await _told(lab)] == [machine]
            await asyncio.sleep(2)
            assert await _told(lab) == []  # before anybody has called
            assert not await _shown(lab, machine)
            gone = await lab.query("ec2", "DescribeInstances", InstanceId_1=machine)
            assert first(gone.body.decode(), "Code") == "InvalidInstanceID.NotFound"

    _run(scenario())


def test_what_was_forgotten_is_forgotten_after_a_restart(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running_lab(tmp_path, account_id="200000000003") as lab:
            first_gone = await _end_one(lab)
            await asyncio.sleep(HOUR_S / 2)
            second_gone = await _end_one(lab)
            await asyncio.sleep(HOUR_S / 2 + 1)
            assert not await _shown(lab, first_gone)
        async with running_lab(tmp_path, account_id="200000000003") as lab:
            assert not await _shown(lab, first_gone)
            assert await _shown(lab, second_gone)
            await asyncio.sleep(1.5 * HOUR_S + 1)  # this lab's clock begins anew
            assert not await _shown(lab, second_gone)

    _run(scenario())

"""`kill -9` of every process of a lab while it is written to: what was acknowledged is there."""

import os
import re
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from tests.e2e.lab import Lab
from tests.e2e.wire import Api, admin, aws

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"
WRITERS = 4


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A lab that is killed again and again."""
    lab = Lab(tmp_path_factory.mktemp("crashes"))
    lab.up("--nodes", "1")
    yield lab
    lab.down()


@dataclass
class Load:
    """What was acknowledged to the writers; `content` is what a write said."""

    label: str
    written: dict[str, tuple[int, str]] = field(default_factory=dict)  # name -> revision, content
    meaning: dict[int, tuple[str, str]] = field(default_factory=dict)  # revision -> name, content
    attempted: dict[str, set[str]] = field(default_factory=dict)  # name -> every content sent
    contradictions: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, body: dict[str, Any]) -> None:
        """Take an acknowledged object or one that was read."""
        name, revision = body["metadata"]["name"], int(body["metadata"]["resourceVersion"])
        content = content_of(body)
        with self.lock:
            known = self.meaning.setdefault(revision, (name, content))
            if known != (name, content):
                self.contradictions.append(f"{revision}: {known} and {(name, content)}")
            if revision >= self.written.get(name, (0, ""))[0]:
                self.written[name] = (revision, content)

    def intend(self, name: str, content: str) -> None:
        """Take a write that is about to be sent."""
        with self.lock:
            self.attempted.setdefault(name, set()).add(content)


def content_of(body: dict[str, Any]) -> str:
    """What a written object says; both halves of a write must be there."""
    said = body.get("data") or body["metadata"]["annotations"]
    assert said["first"] == said["second"], "half a write"
    return str(said["first"])


def config_map(name: str, content: str, load: str = "no") -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "labels": {"load": load}},
        "data": {"first": content, "second": content},
    }


def pod(name: str, content: str, load: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "labels": {"load": load},
            "annotations": {"first": content, "second": content},
        },
        "spec": {
            "schedulerName": "nobody",  # nobody else writes them
            "containers": [{"name": "main", "image": "nginx"}],
        },
    }


@contextmanager
def writing(api: Api, load: Load) -> Iterator[Callable[[], int]]:
    """Writers at work; gives how many writes were acknowledged so far."""
    stop = threading.Event()

    def write(number: int) -> None:
        turn = 0
        while not stop.is_set():
            turn += 1
            make, path = (pod, PODS) if turn % 4 == 0 else (config_map, CONFIG_MAPS)
            name = f"{load.label}-{number}-{turn}"
            method, url = "POST", path
            if turn % 4 == 3:  # an update of the one before
                name = f"{load.label}-{number}-{turn - 1}"
                method, url = "PUT", f"{path}/{name}"
            content = f"{method} {turn}"
            load.intend(name, content)
            try:
                reply = api(method, url, make(name, content, load.label))
            except (OSError, HTTPException):
                continue
            if reply.code in {200, 201}:
                load.note(reply.body)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(WRITERS)]
    for thread in threads:
        thread.start()
    try:
        yield lambda: len(load.meaning)
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def check(api: Api, load: Load) -> None:
    """Everything acknowledged is there, as it was acknowledged or as a later write left it."""
    assert not load.contradictions
    found = {}
    for path in (CONFIG_MAPS, PODS):
        for body in api("GET", f"{path}?labelSelector=load%3D{load.label}").body["items"]:
            found[body["metadata"]["name"]] = body
    assert not {name for name in load.written if name not in found}, "acknowledged and lost"
    for name, body in found.items():
        revision, content = int(body["metadata"]["resourceVersion"]), content_of(body)
        assert content in load.attempted[name]
        acknowledged, said = load.written.get(name, (0, ""))
        assert revision >= acknowledged
        assert content == said or revision > acknowledged
        load.note(body)
    assert not load.contradictions


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def is_gone(pid: int) -> bool:
    """Whether a process has ended (its parent may not have noticed yet)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def is_back(lab: Lab, process: str, killed: int) -> bool:
    state = lab.status()
    return bool(state[process].get("pid", killed) != killed and state["clusters"].get("ready"))


def test_the_clusters_process_dies_during_a_write_load(lab: Lab) -> None:
    api, load = admin(lab), Load("clusters")
    endpoint, killed = api.url, lab.status()["clusters"]["pid"]
    with writing(api, load) as acknowledged:
        lab.eventually(lambda: acknowledged() > 60)
        kill(killed)
        highest = max(load.meaning)
        lab.eventually(lambda: is_back(lab, "clusters", killed))
        count = acknowledged()
        lab.eventually(lambda: acknowledged() > count + 40)
    check(api, load)
    assert is_gone(killed)
    created = api("POST", CONFIG_MAPS, config_map("after", "x")).body
    assert int(created["metadata"]["resourceVersion"]) > highest
    assert admin(lab).url == endpoint
    assert "ip-10-0-" in lab.kubectl("get nodes")


def test_the_cloud_process_dies_during_calls(lab: Lab) -> None:
    iam, eks, ec2 = (aws(lab, service) for service in ("iam", "eks", "ec2"))
    vpc = ec2.create_vpc(CidrBlock="10.77.0.0/16")["Vpc"]["VpcId"]
    arn = eks.describe_cluster(name="lab")["cluster"]["arn"]
    users: dict[str, str] = {}
    groups: dict[str, str] = {}
    tags: dict[str, str] = {}
    stop = threading.Event()

    def call(number: int) -> None:
        turn = 0
        while not stop.is_set():
            turn += 1
            name = f"u{number}-{turn}"
            try:
                if number == 0:
                    users[name] = iam.create_user(UserName=name)["User"]["UserId"]
                elif number == 1:
                    eks.tag_resource(resourceArn=arn, tags={f"t{turn % 20}": name})
                    tags[f"t{turn % 20}"] = name
                else:
                    made = ec2.create_security_group(GroupName=name, Description="x", VpcId=vpc)
                    groups[name] = made["GroupId"]
            except (BotoCoreError, ClientError):
                continue  # cut off: neither acknowledged nor refused

    threads = [threading.Thread(target=call, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    try:
        lab.eventually(lambda: len(users) > 15 and len(groups) > 10 and len(tags) > 10)
        killed = lab.status()["cloud"]["pid"]
        kill(killed)
        before = len(users)
        lab.eventually(lambda: is_back(lab, "cloud", killed))
        lab.eventually(lambda: len(users) > before + 10)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    pages = iam.get_paginator("list_users").paginate()
    found = {user["UserName"]: user["UserId"] for page in pages for user in page["Users"]}
    assert users.items() <= found.items()
    pages = ec2.get_paginator("describe_security_groups").paginate(
        Filters=[{"Name": "vpc-id", "Values": [vpc]}]
    )
    made = {g["GroupName"]: g["GroupId"] for page in pages for g in page["SecurityGroups"]}
    assert groups.items() <= made.items()
    kept = eks.list_tags_for_resource(resourceArn=arn)["tags"]
    assert all(int(kept[key][3:]) >= int(value[3:]) for key, value in tags.items())
    assert re.search(r"\sReady\s", lab.kubectl("get nodes"))


def test_what_a_call_made_has_the_same_id_after_a_kill_right_behind_its_answer(lab: Lab) -> None:
    iam, eks, ec2 = (aws(lab, service) for service in ("iam", "eks", "ec2"))
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    group = ec2.create_security_group(GroupName="last", Description="x", VpcId=vpc)["GroupId"]
    user = iam.create_user(UserName="last")["User"]
    entry = eks.create_access_entry(clusterName="lab", principalArn=user["Arn"])["accessEntry"]
    key = iam.create_access_key(UserName="last")["AccessKey"]
    killed = lab.status()["cloud"]["pid"]
    kept = ec2.create_volume(AvailabilityZone="us-east-1a", Size=8)["VolumeId"]
    kill(killed)
    lab.eventually(lambda: is_back(lab, "cloud", killed))
    assert ec2.describe_volumes(VolumeIds=[kept])["Volumes"][0]["Size"] == 8
    assert ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]["VpcId"] == vpc
    assert iam.get_user(UserName="last")["User"]["UserId"] == user["UserId"]
    again = eks.describe_access_entry(clusterName="lab", principalArn=user["Arn"])["accessEntry"]
    assert again == entry
    signed = {
        "aws_access_key_id": key["AccessKeyId"],
        "aws_secret_access_key": key["SecretAccessKey"],
    }
    assert aws(lab, "sts", **signed).get_caller_identity()["UserId"] == user["UserId"]


def test_a_lab_without_its_supervisor_ends_and_comes_back_whole(lab: Lab) -> None:
    api, load, state = admin(lab), Load("supervisor"), lab.status()
    ports = {urlsplit(api.url).port, urlsplit(state["cloud"]["endpoint"]).port}
    with writing(api, load) as acknowledged:
        lab.eventually(lambda: acknowledged() > 40)
        kill(state["supervisor"])
        lab.eventually(
            lambda: all(is_gone(pid) for pid in (state["cloud"]["pid"], state["clusters"]["pid"]))
        )
    assert not any(is_listening(port) for port in ports)
    assert "is not running" in lab.ekslab("status", expect=1)
    lab.up()
    after = lab.status()
    api = admin(lab)
    assert {urlsplit(api.url).port, urlsplit(after["cloud"]["endpoint"]).port} == ports
    check(api, load)
    assert re.search(r"\sReady\s", lab.kubectl("get nodes"))


def test_down_leaves_no_process_no_port_and_no_lock(lab: Lab) -> None:
    state = lab.status()
    ports = [urlsplit(admin(lab).url).port, urlsplit(state["cloud"]["endpoint"]).port]
    assert all(is_listening(port) for port in ports)
    assert lab.ekslab("down") == "The lab is down.\n"
    pids = (state["supervisor"], state["cloud"]["pid"], state["clusters"]["pid"])
    assert all(is_gone(pid) for pid in pids)
    assert not any(is_listening(port) for port in ports)
    assert not list(lab.home.rglob("*.sock"))
    assert lab.ekslab("down") == "The lab is not running.\n"


def is_listening(port: int | None) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port or 0)) == 0

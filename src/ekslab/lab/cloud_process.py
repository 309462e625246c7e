"""The cloud process: the account, its AWS endpoint, and the socket the bridge reaches it by."""

import asyncio
import json
from typing import Final

from ekslab.cloud.cloud import Cloud, CloudConfig
from ekslab.cloud.journal import JournalError
from ekslab.cloud.served import CloudApp
from ekslab.kit import logs
from ekslab.kit.clock import WallClock, lab_clock
from ekslab.kit.ids import Ids
from ekslab.kit.rng import Rng, fresh_seed
from ekslab.kit.serving import AsgiServer, unix_listener
from ekslab.kube.api.schema.catalog import DEFAULT_VERSION, SUPPORTED_VERSIONS
from ekslab.lab import process
from ekslab.lab.home import Home, LabConfig, LabError, write_private
from ekslab.lab.ports import take_port

_PORT_FILE: Final = "port"


async def _main(home: Home, stop: asyncio.Event) -> None:
    config = home.load_config()
    if config is None:
        raise LabError(f"there is no lab in {home.path}; start one with `ekslab up`")
    listener = take_port(config.port, remembered=_remembered_port(home))
    port = listener.getsockname()[1]
    write_private(home.path / _PORT_FILE, f"{port}\n")
    loop = asyncio.get_running_loop()
    cloud = Cloud(
        CloudConfig(
            account_id=config.account,
            region=config.region,
            kubernetes_versions=SUPPORTED_VERSIONS,
            default_version=config.kubernetes_version or DEFAULT_VERSION,
        ),
        clock=lab_clock(loop),
        wall_clock=WallClock(),
        ids=Ids(Rng(fresh_seed())),
        data_dir=None if config.ephemeral else home.cloud,
    )
    try:
        await cloud.start()
    except JournalError as error:
        raise LabError(str(error)) from error
    _write_credentials(home, cloud, config)
    endpoint = AsgiServer(cloud.asgi, listener)
    status = {
        "endpoint": f"http://127.0.0.1:{port}",
        "account": config.account,
        "region": config.region,
    }
    app = CloudApp(cloud, status=lambda: {**status, **process.vitals()})
    control = AsgiServer(app, unix_listener(home.socket("cloud")))
    await endpoint.start()
    await control.start()
    process.is_up()
    logs.get("cloud").info("AWS endpoint", **status)
    try:
        await stop.wait()
    finally:
        await endpoint.stop()
        await control.stop()
        await cloud.stop()


def _remembered_port(home: Home) -> int:
    try:
        return int((home.path / _PORT_FILE).read_text())
    except (OSError, ValueError):
        return 0


def _write_credentials(home: Home, cloud: Cloud, config: LabConfig) -> None:
    account = cloud.account
    credentials = {
        "access_key_id": account.access_key_id,
        "secret_access_key": account.secret_access_key,
        "region": config.region,
        "account": account.account_id,
    }
    write_private(home.credentials, json.dumps(credentials, indent=2) + "\n")


def main(home: str) -> int:
    """Run the process for the lab in this directory."""
    return process.run("cloud", home, _main)

"""The AWS plane, composed: one account, its endpoint, its feed, its reports.

    cloud = Cloud(CloudConfig(), clock=clock, wall_clock=wall, ids=ids, data_dir=path)
    await cloud.start()
    serve(cloud.asgi)          # or: await cloud.endpoint.handle(request)
    await cloud.stop()

Without a data directory everything is in memory. moto's state is global to the process: several
clouds in one process need several accounts.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ekslab.cloud import account
from ekslab.cloud.account import SERVICE_ROLES, PreparedAccount, make_service_role
from ekslab.cloud.asgi import AwsAsgi
from ekslab.cloud.calls import Calls
from ekslab.cloud.eks.reports import EksReports
from ekslab.cloud.eks.service import EksService
from ekslab.cloud.eks.state import EksState
from ekslab.cloud.endpoint import AwsEndpoint
from ekslab.cloud.engine import checkpoint
from ekslab.cloud.engine.engine import Engine
from ekslab.cloud.feed import ALL_KINDS, Feed, kinds_touched
from ekslab.cloud.gateway.faults import AwsFault
from ekslab.cloud.gateway.routing import Route
from ekslab.cloud.identities import Identities
from ekslab.cloud.journal import Call, Journal
from ekslab.cloud.observing import Observer
from ekslab.cloud.records import Record, Records
from ekslab.cloud.sessions import Session, Sessions
from ekslab.cloud.sts.service import StsService
from ekslab.cloud.subnets.ended import EndedInstances
from ekslab.kit import logs
from ekslab.kit.clock import Clock, WallClock
from ekslab.kit.ids import Ids

if TYPE_CHECKING:
    from ekslab.cloud.ports import ChangeFeed, Endpoint, Reports

_ZONES = 3
# EKS runs no control planes there; see eks/networking.py.
_ZONE_IDS_LEFT_OUT = frozenset({"use1-az3", "usw1-az2", "cac1-az3"})
_log = logs.get("cloud")


@dataclass(frozen=True, slots=True)
class CloudConfig:
    """What a lab says about its account.

    Attributes:
        kubernetes_versions: what EKS offers, such as `("1.33", "1.34")`.
        default_version: what a cluster gets without a wish.
    """

    account_id: str = "123456789012"
    region: str = "us-east-1"
    kubernetes_versions: tuple[str, ...] = ("1.34",)
    default_version: str = "1.34"


@dataclass(frozen=True, slots=True)
class AccountTemplate:
    """A prepared account in memory, from which another cloud of the same config starts faster."""

    moto: bytes
    records: Mapping[tuple[str, str], Record]


class Cloud:
    """One account of AWS."""

    def __init__(
        self,
        config: CloudConfig,
        *,
        clock: Clock,
        wall_clock: WallClock,
        ids: Ids,
        data_dir: Path | None = None,
        template: AccountTemplate | None = None,
    ) -> None:
        """`template`, if given, takes the place of preparing a fresh account."""
        self.config = config
        self._clock = clock
        self._wall_clock = wall_clock
        self._data_dir = data_dir
        self._template = template
        self._journal: Journal | None = None
        self._unwritten: list[Call] = []
        self._records = Records()
        self._engine = Engine(config.account_id)
        self._calls = Calls(self._engine, clock=clock, ids=ids)
        self._sessions = Sessions(self._records)
        self._identities = Identities(self._engine, self._sessions)
        self._sts = StsService(self._identities, self._sessions, account_id=config.account_id)
        state = EksState(
            records=self._records,
            identities=self._identities,
            engine=self._engine,
            calls=self._calls,
            clock=clock,
            ids=ids,
            account=config.account_id,
            region=config.region,
            versions=config.kubernetes_versions,
            default_version=config.default_version,
        )
        observer = Observer(self._engine, self._records, self._identities, region=config.region)
        self._feed = Feed(observer, started_s=wall_clock.now())
        self.feed: ChangeFeed = self._feed
        self._ended = EndedInstances(
            lambda: self._engine.backend("ec2", config.region),
            clock=clock,
            tell=lambda: self._feed.observe(["ec2:instance"]),
        )
        self.reports: Reports = EksReports(state, settle=self._settle_report)
        self.endpoint: Endpoint = AwsEndpoint(
            calls=self._calls,
            identities=self._identities,
            sts=self._sts,
            eks=EksService(state),
            region=config.region,
            keep=self._keep,
            announce=self._announce,
            wall_clock=wall_clock,
            ids=ids,
        )
        self.asgi = AwsAsgi(self.endpoint)

    @property
    def account(self) -> PreparedAccount:
        """The prepared account: keys, VPC, subnets, roles. There after `start`."""
        found = account.find(self._records)
        assert found is not None, "the cloud has not been started"
        return found

    async def start(self) -> None:
        """Load moto and the state, or prepare a fresh account.

        Raises:
            JournalError: the state on the disk cannot be used.
        """
        self._engine.start()
        if self._data_dir is not None:
            self._journal = Journal(self._data_dir / "cloud.db")
            self._load(self._journal)
        if account.find(self._records) is None and self._template is not None:
            self._unfold(self._template)
        if account.find(self._records) is None:
            account.prepare(
                self._calls,
                self._records,
                account_id=self.config.account_id,
                region=self.config.region,
                zones=self._zones(),
            )
            self._keep()
        self._ended.look()
        self._feed.observe(ALL_KINDS)

    def template(self) -> AccountTemplate:
        """The account as it is now, to start other clouds of the same config from."""
        records = {
            (kind, key): record
            for kind in self._records.kinds()
            for key, record in self._records.under(kind)
        }
        return AccountTemplate(checkpoint.dump(self.config.account_id), records)

    async def stop(self) -> None:
        """Write a checkpoint and let go of the account."""
        self._ended.stop()
        journal, self._journal = self._journal, None
        try:
            if journal is not None:
                self._save_checkpoint(journal)
        finally:
            if journal is not None:
                journal.close()
            self._engine.stop()

    async def service_session(self, service: str) -> Session:
        """A session of an AWS service's own role, such as `eks-nodegroup.amazonaws.com`. It may do
        everything: it acts for AWS.

        Raises:
            LookupError: no service of that name has a role here.
        """
        if service not in SERVICE_ROLES:
            raise LookupError(f"no service-linked role for {service}")
        name = SERVICE_ROLES[service][0]
        role = self._identities.role(name)
        if role is None:
            make_service_role(self._calls, self.config.region, service)
            role = self._identities.role(name)
            assert role is not None
        session = self._sts.assume_for_service(
            role,
            service=service,
            session_name=service.partition(".")[0],
            now_s=self._wall_clock.now(),
            acts_as_service=True,
        )
        self._keep()
        return session

    async def instance_session(self, instance_id: str) -> Session:
        """A session of an instance's role, named after the instance, as IMDS gives it.

        Raises:
            LookupError: there is no such running instance, or it has no role.
        """
        ec2 = self._engine.backend("ec2", self.config.region)
        instance = ec2.get_instance_by_id(instance_id)
        association = ec2.iam_instance_profile_associations.get(instance_id)
        if instance is None or instance.state == "terminated" or association is None:
            raise LookupError(f"no running instance {instance_id} with an instance profile")
        role = self._identities.instance_role(association.iam_instance_profile.arn)
        if role is None:
            raise LookupError(f"the instance profile of {instance_id} has no role")
        try:
            session = self._sts.assume_for_service(
                role,
                service="ec2.amazonaws.com",
                session_name=instance_id,
                now_s=self._wall_clock.now(),
                acts_as_service=False,
            )
        except AwsFault as fault:
            raise LookupError(fault.message) from fault
        self._keep()
        return session

    def _unfold(self, template: AccountTemplate) -> None:
        checkpoint.load(self.config.account_id, template.moto)
        for (kind, key), record in template.records.items():
            self._records.put(kind, key, record)
        if self._journal is not None:
            self._save_checkpoint(self._journal)

    def _zones(self) -> list[str]:
        zones = self._engine.backend("ec2", self.config.region).describe_availability_zones()
        fit = [str(zone.name) for zone in zones if zone.zone_id not in _ZONE_IDS_LEFT_OUT]
        return fit[:_ZONES]

    def _load(self, journal: Journal) -> None:
        state = journal.read_checkpoint()
        if state is not None:
            checkpoint.load(self.config.account_id, state)
        for kind, key, record in journal.read_records():
            self._records.restore(kind, key, record)
        for call in journal.read_calls():
            try:
                self._calls.repeat(call)
            except AwsFault as fault:
                # It failed the first time too; what it changed before that is repeated.
                _log.debug("a replayed call failed", code=fault.code)

    def _keep(self) -> None:
        """Make what happened since the last time durable.

        Raises:
            JournalError: the disk did not take it; it is tried again with the next request.
        """
        calls, needs_checkpoint = self._calls.take()
        journal = self._journal
        if journal is None:
            self._records.take_changes()
            return
        self._unwritten += calls
        changes = self._records.peek_changes()
        if needs_checkpoint or journal.checkpoint_due:
            journal.save_checkpoint(checkpoint.dump(self.config.account_id), changes)
        else:
            journal.commit(self._unwritten, changes)
        self._unwritten = []
        self._records.take_changes()

    def _save_checkpoint(self, journal: Journal) -> None:
        self._calls.take()
        changes = self._records.take_changes()
        journal.save_checkpoint(checkpoint.dump(self.config.account_id), changes)

    def _announce(self, route: Route) -> None:
        kinds = kinds_touched(route.service)
        if "ec2:instance" in kinds:
            self._ended.look()
        self._feed.observe(kinds)

    def _settle_report(self) -> None:
        self._keep()
        self._feed.observe(kinds_touched("eks"))

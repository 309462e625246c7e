from ekslab.kube.api.ports import AdmissionRequest, Operation
from ekslab.kube.api.resources import ResourceInfo
from ekslab.kube.apiserver.admission import AdmissionChain
from ekslab.kube.apiserver.admission.chain import CREATE, Plugin
from tests.admission.requests import asked, info
from tests.fakes.lister import pod


class Noter(Plugin):
    def __init__(self, name: str, log: list[str]) -> None:
        self.name = name
        self.log = log
        self.questions = 0

    def handles(self, info: ResourceInfo, subresource: str, operation: Operation) -> bool:
        self.questions += 1
        return info.resource.plural == "pods" and operation in CREATE and not subresource

    async def admit(self, request: AdmissionRequest) -> None:
        self.log.append(f"{self.name} admits {request.info.resource.plural}")

    async def validate(self, request: AdmissionRequest) -> None:
        self.log.append(f"{self.name} validates {request.info.resource.plural}")


async def test_all_change_in_order_before_any_checks():
    log: list[str] = []
    chain = AdmissionChain([Noter("a", log), Noter("b", log)])
    await chain.run(asked("create", "pods", pod()))
    assert log == ["a admits pods", "b admits pods", "a validates pods", "b validates pods"]


async def test_a_plugin_is_asked_once_whether_it_wants_a_type():
    plugin = Noter("a", [])
    chain = AdmissionChain([plugin])
    for _ in range(3):
        await chain.run(asked("create", "pods", pod()))
        await chain.run(asked("update", "pods", pod()))
    assert plugin.questions == 2
    assert plugin.log == ["a admits pods", "a validates pods"] * 3


def test_the_chain_handles_what_any_plugin_does():
    chain = AdmissionChain([Noter("a", [])])
    assert chain.handles(info("pods"), "", Operation.CREATE)
    assert not chain.handles(info("pods"), "status", Operation.CREATE)
    assert not chain.handles(info("nodes"), "", Operation.CREATE)

from pathlib import Path

from ekslab.cloud.eks.service import OPERATIONS
from ekslab.cloud.gateway.routing import service_model


def test_the_reference_names_every_operation_that_is_served() -> None:
    model = service_model("eks")
    assert model is not None
    assert set(OPERATIONS) <= set(model.operation_names)
    text = Path("docs/reference/aws.md").read_text()
    assert [name for name in OPERATIONS if name not in text] == []

"""Puts the lab's AMIs in place of moto's 1,177, and their parameters into SSM.

Only images that somebody starts here; leaving moto's out saves 0.3 s of every account's start.
"""

from typing import Any

from ekslab.cloud.facts import images

_PREFIXES = ("/aws/service/eks/optimized-ami", "/aws/service/ami-amazon-linux-latest")


def install() -> None:
    """Replace moto's AMIs and public AMI parameters. Idempotent."""
    from moto.ec2.models import amis
    from moto.ssm import models

    backend: Any = amis.AmiBackend
    backend._load_amis = _load_images  # noqa: SLF001 - moto's own hook
    parameters: Any = models.ParameterDict
    if not hasattr(parameters, "_ekslab_original_check"):
        parameters._ekslab_original_check = parameters._check_loading_status  # noqa: SLF001 - moto's own hook
        parameters._check_loading_status = _check_loading_status  # noqa: SLF001 - moto's own hook


def _load_images(backend: Any) -> None:
    from moto.ec2.models.amis import Ami

    for entry in images.as_moto_reads_them():
        image: Any = Ami(backend, **entry, owner_alias="amazon")
        backend.amis[image.id] = image


def _check_loading_status(parameters: Any, key: str) -> None:
    if not str(key or "").startswith(_PREFIXES):
        parameters._ekslab_original_check(key)  # noqa: SLF001 - moto's own hook
    elif not parameters.latest_amis_loaded:
        parameters.latest_amis_loaded = True
        _load_parameters(parameters)


def _load_parameters(parameters: Any) -> None:
    from moto.ssm import models

    make: Any = models.Parameter

    for name, value in images.parameters():
        dict.__setitem__(
            parameters,
            name,
            [
                make(
                    account_id=parameters.account_id,
                    name=name,
                    value=value,
                    parameter_type="String",
                    description=None,
                    allowed_pattern=None,
                    keyid=None,
                    last_modified_date=1_793_491_200,  # 2026-11-01
                    version=1,
                    data_type="aws:ec2:image" if name.endswith("image_id") else "text",
                )
            ],
        )

"""botocore's and moto's data, read our way, is what they would have read themselves."""

import gzip
import json
from pathlib import Path

import botocore
import pytest
from botocore.loaders import Loader
from moto.ec2.models import instance_types

from ekslab.cloud.engine import data_files


@pytest.fixture(autouse=True)
def _installed():
    data_files.install()


def test_a_model_is_what_json_reads():
    folder = Path(botocore.__file__).parent / "data/sts/2011-06-15"
    with gzip.open(folder / "service-2.json.gz") as file:
        expected = json.load(file)

    assert Loader().load_data("sts/2011-06-15/service-2") == expected


def test_a_model_is_parsed_once_for_all_sessions():
    one, other = (Loader().load_data("sts/2011-06-15/service-2") for _ in range(2))

    assert one is other


def test_a_region_offers_its_instance_types():
    offered = instance_types.InstanceTypeOfferingBackend()
    offered.region_name = "eu-west-1"

    rows = offered.describe_instance_type_offerings("availability-zone")

    assert {row["LocationType"] for row in rows} == {"availability-zone"}
    assert {row["Location"] for row in rows} == {"eu-west-1a", "eu-west-1b", "eu-west-1c"}
    assert any(row["InstanceType"] == "m5.large" for row in rows)


def test_a_region_moto_has_no_file_for_offers_nothing():
    assert instance_types.INSTANCE_TYPE_OFFERINGS["region"].get("nowhere-1", []) == []

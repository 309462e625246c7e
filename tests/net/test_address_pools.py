import pytest
from hypothesis import given
from hypothesis import strategies as st

from ekslab.kube.net.address_pools import AddressPool, NodeSlices, PoolExhaustedError


class Time:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_addresses_come_in_order_behind_the_gateway():
    pool = AddressPool("10.0.0.0/24", now=Time())
    assert [pool.allocate(owner) for owner in "abc"] == ["10.0.0.2", "10.0.0.3", "10.0.0.4"]
    assert pool.allocate("b") == "10.0.0.3"
    assert pool.owner("10.0.0.3") == "b"


def test_a_full_pool_says_so():
    pool = AddressPool("10.0.0.0/29", now=Time())
    assert pool.capacity == 5
    for number in range(5):
        pool.allocate(str(number))
    with pytest.raises(PoolExhaustedError, match=r"no free address in 10\.0\.0\.0/29"):
        pool.allocate("one more")


def test_an_address_rests_for_30_seconds():
    time = Time()
    pool = AddressPool("10.0.0.0/30", now=time)
    assert pool.allocate("a") == "10.0.0.2"
    pool.release("a")
    time.now_s = 29.9
    with pytest.raises(PoolExhaustedError):
        pool.allocate("b")
    time.now_s = 30
    assert pool.allocate("b") == "10.0.0.2"


def test_a_known_address_is_claimed_after_a_restart():
    pool = AddressPool("10.0.0.0/29", now=Time())
    assert pool.claim("a", "10.0.0.3")
    assert not pool.claim("b", "10.0.0.3")
    assert not pool.claim("a", "10.0.0.4")
    assert not pool.claim("c", "10.9.0.1")
    assert [pool.allocate(owner) for owner in "abc"] == ["10.0.0.3", "10.0.0.2", "10.0.0.4"]


@pytest.mark.parametrize(
    ("address", "inside"),
    [("10.0.0.1", False), ("10.0.0.2", True), ("10.0.0.254", True), ("10.0.0.255", False)],
)
def test_gateway_and_broadcast_are_nobodys(*, address: str, inside: bool):
    assert AddressPool("10.0.0.0/24", now=Time()).contains(address) is inside


@given(st.lists(st.tuples(st.sampled_from(["allocate", "release", "wait"]), st.integers(0, 6))))
def test_no_two_owners_share_an_address_and_none_comes_back_early(steps: list[tuple[str, int]]):
    time = Time()
    pool = AddressPool("10.0.0.0/29", now=time)
    held: dict[str, str] = {}
    freed: dict[str, float] = {}
    for step, number in steps:
        owner = str(number)
        if step == "wait":
            time.now_s += number * 5
        elif step == "release":
            pool.release(owner)
            if owner in held:
                freed[held.pop(owner)] = time.now_s
        else:
            try:
                address = pool.allocate(owner)
            except PoolExhaustedError:
                resting = sum(time.now_s < at + 30 for at in freed.values())
                assert len(held) + resting >= pool.capacity
                continue
            if owner in held:
                assert held[owner] == address
                continue
            assert address not in held.values()
            assert time.now_s >= freed.pop(address, -100) + 30
            assert pool.contains(address)
            held[owner] = address
    assert len(pool) == len(held)


def test_every_node_has_a_slice_of_its_own():
    slices = NodeSlices("10.128.0.0/22", now=Time())
    cidrs = [slices.pool(f"n{number}").cidr for number in range(4)]
    assert cidrs == ["10.128.0.0/24", "10.128.1.0/24", "10.128.2.0/24", "10.128.3.0/24"]
    assert slices.pool("n2").cidr == "10.128.2.0/24"
    with pytest.raises(PoolExhaustedError, match="no free /24"):
        slices.pool("n4")
    slices.release("n1")
    assert slices.pool("n4").cidr == "10.128.1.0/24"


def test_a_slice_that_a_node_had_before_is_its_own_again():
    slices = NodeSlices("10.128.0.0/22", now=Time())
    assert slices.pool("n9", "10.128.0.0/24").cidr == "10.128.0.0/24"
    assert slices.pool("n1").cidr == "10.128.1.0/24"
    with pytest.raises(ValueError, match="another node's"):
        slices.pool("n2", "10.128.0.0/24")
    with pytest.raises(ValueError, match=r"no /24 of"):
        slices.pool("n2", "10.0.0.0/24")

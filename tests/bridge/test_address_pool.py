"""When a node fetches addresses: the worked example of the pool, and its edges."""

from ekslab.bridge.vpc_cni.pool import COOLDOWN_S, AssignAddresses, AttachInterface, Pool


def t3_small() -> Pool:
    return Pool(interfaces_most=3, per_interface=4, max_pods=11)


def fill(pool: Pool, now: float = 0.0) -> None:
    """Fetch as long as the pool wants more."""
    serial = 0
    while (growth := pool.growth(now)) is not None:
        serial += 1
        name = (
            growth.interface_id
            if isinstance(growth, AssignAddresses)
            else f"eni-{growth.device_index}"
        )
        pool.hold(name, [f"{name}-{serial}-{i}" for i in range(growth.count)])


def held(pool: Pool) -> tuple[int, int]:
    addresses = pool._held
    return len(addresses), sum(map(len, addresses.values()))


def test_the_first_interface_is_filled_before_any_pod() -> None:
    pool = t3_small()
    pool.hold("eni-0", [])
    assert pool.growth(0) == AssignAddresses("eni-0", 3)
    fill(pool)
    assert held(pool) == (1, 3)


def test_one_interface_is_kept_warm_as_pods_come() -> None:
    pool = t3_small()
    pool.hold("eni-0", [])
    fill(pool)
    for number, expected in ((1, (2, 6)), (2, (2, 6)), (3, (2, 6)), (4, (3, 9)), (9, (3, 9))):
        while len(pool._assigned) < number:
            assert pool.take(f"pod-{len(pool._assigned)}", 0)
        fill(pool)
        assert held(pool) == expected, number
    assert pool.take("one too many", 0) is None


def test_a_pod_that_asks_again_gets_its_own_address() -> None:
    pool = t3_small()
    pool.hold("eni-0", ["a", "b"])
    assert pool.take("pod", 0) == pool.take("pod", 0) == "a"


def test_an_address_rests_before_it_is_given_out_again() -> None:
    pool = Pool(interfaces_most=1, per_interface=2, max_pods=3)
    pool.hold("eni-0", ["a"])
    assert pool.take("first", 0) == "a"
    pool.release("first", 10)
    assert pool.take("second", 10 + COOLDOWN_S - 1) is None
    assert pool.take("second", 10 + COOLDOWN_S) == "a"


def test_addresses_of_pods_that_run_already_are_not_given_out() -> None:
    pool = t3_small()
    pool.adopt("old", "a")
    pool.hold("eni-0", ["a", "b"])
    assert pool.take("new", 0) == "b"
    assert pool.take("newer", 0) is None


def test_no_interface_is_attached_beyond_the_limit_of_the_type() -> None:
    pool = Pool(interfaces_most=1, per_interface=2, max_pods=3)
    pool.hold("eni-0", ["a"])
    pool.take("pod", 0)
    assert pool.growth(0) is None
    roomy = Pool(interfaces_most=2, per_interface=2, max_pods=3)
    roomy.hold("eni-0", ["a"])
    roomy.take("pod", 0)
    assert roomy.growth(0) == AttachInterface(1, 1)

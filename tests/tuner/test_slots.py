"""What trials ask of Ray and how many fit, without Ray running; and on a node with a made-up GPU."""

import time
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from study.config import TrialConfig
from study.datasets import load_dataset
from study.options import Options
from study.tuner.autoscaler import Autoscaler, NodeType
from study.tuner.slots import BELIEF_SECONDS, HEAD, MOST, ResourceRequest, Slots, all_fit, resources_of, room_on

GIB = 2.0**30
LAPTOP, GPU_NODE = {"CPU": 4.0}, {"CPU": 16.0, "GPU": 2.0}
BARE_HEAD = {HEAD: 1.0}
CPUS = Autoscaler([NodeType("cpu", LAPTOP, 2)], most=2)
GPUS = Autoscaler([NodeType("cpu", LAPTOP, 2), NodeType("gpu", GPU_NODE, 2)], most=4)
ONE = ResourceRequest(0.0, 1.0)


def slots(
    nodes: Sequence[dict[str, float]],
    card_bytes: float | None = None,
    autoscaler: Autoscaler | None = None,
    clock: Callable[[], float] = time.monotonic,
    **options: object,
) -> Slots:
    data = {"digits": load_dataset("digits")}
    return Slots(Options(**options), data, lambda: nodes, lambda: card_bytes, autoscaler, clock)


def config(depth: int, batch_size: int = 128) -> TrialConfig:
    return TrialConfig(dataset="digits", depth=depth, batch_size=batch_size, epochs=1)


def test_without_gpus_trials_are_counted_by_cpus_on_each_node_by_itself() -> None:
    assert slots([LAPTOP, LAPTOP]).count() == 8
    assert slots([LAPTOP, LAPTOP], cpus_per_trial=3.0).count() == 2
    assert slots([LAPTOP, LAPTOP], cpus_per_trial=0.1).count() == 80
    assert slots([LAPTOP, LAPTOP], workers=5).count() == 5


def test_a_deep_net_asks_for_a_larger_share_than_a_shallow_one() -> None:
    here = slots([GPU_NODE], card_bytes=4 * GIB)
    shallow, deep = here.ask(config(8)), here.ask(config(200, 512))
    assert shallow.gpus < deep.gpus
    assert here.largest == deep
    assert {1 / shallow.gpus, 1 / deep.gpus} <= {1, 2, 4, 8, 16}


def test_the_users_word_wins_and_a_card_that_is_not_known_is_asked_for_whole() -> None:
    assert slots([GPU_NODE], card_bytes=None).ask(config(8)) == ResourceRequest(1.0, 1.0)
    assert slots([GPU_NODE], card_bytes=80 * GIB, gpus_per_trial=0.5).ask(config(8)) == ResourceRequest(0.5, 1.0)
    assert slots([GPU_NODE], card_bytes=80 * GIB, gpus_per_trial=0.0).ask(config(8)) == ResourceRequest(0.0, 1.0)
    assert slots([LAPTOP], card_bytes=80 * GIB).ask(config(8)) == ResourceRequest(0.0, 1.0)


def test_what_no_node_can_give_is_refused_with_the_largest_nodes_figures() -> None:
    with pytest.raises(ValueError, match=r"asks for 99 CPUs and 0.25 GPUs, and the largest node has 16 and 2: lower"):
        slots([LAPTOP, GPU_NODE], cpus_per_trial=99.0, gpus_per_trial=0.25).check_possible()
    with pytest.raises(ValueError, match=r"--gpus-per-trial 1.5: more than one GPU must be a whole number"):
        slots([GPU_NODE], gpus_per_trial=1.5).check_possible()
    slots([LAPTOP, GPU_NODE], card_bytes=GIB).check_possible([config(200, 512)])


def test_gpus_that_join_a_run_on_cpus_are_passed_over() -> None:
    nodes, now = [LAPTOP], [0.0]
    settled, told = (slots(nodes, clock=lambda: now[0], gpus_per_trial=share) for share in (None, 0.0))
    assert not settled.passes_over_gpus
    nodes.append(GPU_NODE)
    now[0] += BELIEF_SECONDS + 1
    assert settled.passes_over_gpus
    assert not told.passes_over_gpus
    assert settled.ask(config(8)) == ResourceRequest(0.0, 1.0)


def test_a_node_that_may_be_added_is_as_good_as_one_that_lives() -> None:
    empty = slots([BARE_HEAD], autoscaler=CPUS)
    empty.check_possible([config(8)])
    assert (empty.count(), empty.can_grow) == (0, True)
    with pytest.raises(
        ValueError, match="asks for 5 CPUs and 0 GPUs, and the largest node that is there or may be add"
    ):
        slots([BARE_HEAD], autoscaler=CPUS, cpus_per_trial=5.0).check_possible()
    with pytest.raises(ValueError, match="asks for 1 CPUs and 0 GPUs, and the largest node has 0 and 0: lower"):
        slots([BARE_HEAD]).check_possible()


def test_where_gpus_may_be_added_trials_take_them() -> None:
    waits = slots([LAPTOP], autoscaler=GPUS)
    assert waits.ask(config(8)) == ResourceRequest(1.0, 1.0)
    assert (waits.count(), waits.can_grow) == (0, True)
    assert slots([LAPTOP], autoscaler=GPUS, gpus_per_trial=0.0).ask(config(8)) == ONE
    assert slots([LAPTOP], autoscaler=CPUS).ask(config(8)) == ONE


def test_no_more_is_asked_for_than_there_could_be() -> None:
    def reach(count: int, nodes: Sequence[dict[str, float]] = (BARE_HEAD,), **more: object) -> int:
        return len(slots(nodes, **more).within_reach([ONE] * count))

    assert reach(5) == 0  # no autoscaler
    assert [reach(count, autoscaler=CPUS) for count in (0, 5, 99)] == [0, 5, 8]
    assert reach(99, autoscaler=CPUS, workers=3) == 3
    assert reach(99, [BARE_HEAD | LAPTOP, LAPTOP], autoscaler=CPUS) == 12  # the second may be one of the autoscaler's
    assert reach(9999, autoscaler=Autoscaler([NodeType("huge", {"CPU": 64.0}, 10**9)], most=10**9)) == MOST


def test_large_and_small_shares_are_asked_for_as_far_as_they_fit_together() -> None:
    here = slots([BARE_HEAD], autoscaler=Autoscaler([NodeType("gpu", {"CPU": 16.0, "GPU": 1.0}, 2)], most=2))
    asks = [ResourceRequest(0.25, 1.0)] * 9 + [ResourceRequest(0.5, 1.0)] * 2
    assert here.within_reach(asks) == [ResourceRequest(0.5, 1.0)] * 2 + [ResourceRequest(0.25, 1.0)] * 4
    assert here.within_reach([ResourceRequest(2.0, 1.0)]) == []


def test_a_card_that_becomes_known_makes_earlier_asks_void() -> None:
    cards: list[float | None] = [None]
    data, now = {"digits": load_dataset("digits")}, [0.0]
    here = Slots(Options(), data, lambda: [GPU_NODE], lambda: cards[-1], clock=lambda: now[0])
    assert here.ask(config(8)) == here.largest == ResourceRequest(1.0, 1.0)
    cards.append(80 * GIB)
    now[0] += BELIEF_SECONDS + 1
    assert here.ask(config(8)) == here.largest == ResourceRequest(1 / 16, 1.0)


def test_no_share_is_put_together_from_two_cards() -> None:
    assert room_on(GPU_NODE, ResourceRequest(0.5, 1.0)) == 4
    assert room_on(GPU_NODE, ResourceRequest(0.6, 1.0)) == 2
    assert room_on(GPU_NODE, ResourceRequest(2.0, 1.0)) == 1
    assert room_on({"CPU": 3.0, "GPU": 1.0}, ResourceRequest(0.25, 1.0)) == 3
    assert room_on(LAPTOP, ResourceRequest(0.25, 1.0)) == 0


def test_trials_of_different_shares_are_counted_rightly() -> None:
    one = [{"CPU": 16.0, "GPU": 1.0}]
    assert all_fit(one, [ResourceRequest(0.25, 1.0), ResourceRequest(0.5, 1.0), ResourceRequest(0.25, 1.0)])
    assert not all_fit(
        one,
        [
            ResourceRequest(0.25, 1.0),
            ResourceRequest(0.5, 1.0),
            ResourceRequest(0.25, 1.0),
            ResourceRequest(0.0625, 1.0),
        ],
    )
    assert all_fit([GPU_NODE, LAPTOP], [ResourceRequest(2.0, 1.0), *[ResourceRequest(0.0, 1.0)] * 19])
    assert not all_fit([GPU_NODE, LAPTOP], [ResourceRequest(2.0, 1.0), *[ResourceRequest(0.0, 1.0)] * 20])


@given(st.lists(st.sampled_from([1.0, 0.5, 0.25, 0.125, 0.0625])), st.integers(1, 3))
def test_halved_shares_leave_no_gap(shares: list[float], cards: int) -> None:
    nodes = [{"CPU": 1000.0, "GPU": float(cards)}]
    assert all_fit(nodes, [ResourceRequest(share, 1.0) for share in shares]) == (sum(shares) <= cards)


def test_new_nodes_are_seen() -> None:
    nodes, now = [LAPTOP], [0.0]
    here = slots(nodes, clock=lambda: now[0])
    assert not here.have_room([here.smallest] * 5)
    nodes.append(LAPTOP)
    now[0] += BELIEF_SECONDS + 1
    assert here.have_room([here.smallest] * 8)
    assert not here.have_room([here.smallest] * 9)


def test_ray_is_asked_for_what_the_trials_config_says() -> None:
    (bundle,) = resources_of(ResourceRequest(0.25, 2.0).ray_config()).bundles
    assert bundle == {"CPU": 2.0, "GPU": 0.25}


def test_asks_are_told_in_words() -> None:
    assert [str(ResourceRequest(0.0, 1.0)), str(ResourceRequest(0.5, 2.0)), str(ResourceRequest(2.0, 1.0))] == [
        "1 CPU",
        "2 CPUs and 0.5 GPU",
        "1 CPU and 2 GPUs",
    ]

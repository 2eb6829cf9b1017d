"""What stands out from chance: exact shuffles, and false and true findings by simulation."""

from functools import partial

import numpy as np
import pytest

from study.analysis.step_down import DEALS, LEVEL, Array, Order, dealt, step_down

SEARCHES = 400


def squared_correlations(columns: Array, scores: Array) -> Array:
    """A share of variance that takes no forest: (1, d)."""
    centred, spread = columns - columns.mean(axis=0), scores - scores.mean()
    return ((spread @ centred) ** 2 / ((spread**2).sum() * (centred**2).sum(axis=0)))[None]


def shares(left: list[str], columns: Array, scores: Array, generator: np.random.Generator) -> Array:
    """Of the columns `0`, `1`, .. that are left: those of the table, and with them dealt out."""
    chosen, tables = [int(name) for name in left], [squared_correlations(columns, scores)]
    for _ in range(DEALS):
        moved = columns.copy()
        for place in chosen:
            moved[:, place] = generator.permuted(columns[:, place])
        tables.append(squared_correlations(moved, scores))
    return np.array(tables)[:, :, chosen]


def found(effect: float, generator: np.random.Generator) -> set[str]:
    """What stands out of three fields, of which the first has the effect; scores have unit noise."""
    columns = generator.normal(size=(40, 3))
    scores = effect * columns[:, 0] + generator.normal(size=40)
    values = partial(shares, columns=columns, scores=scores, generator=generator)
    stands = step_down({"all": values}, {"all": ["0", "1", "2"]})
    tested = squared_correlations(columns, scores)[0]
    return {field for (_, field), stand in stands.items() if tested[int(field)] > stand.nulls[0]}


@pytest.mark.parametrize("effect", [0.0, 1.0])
def test_one_search_in_twenty_at_most_finds_a_field_without_effect(effect: float) -> None:
    """Simulated: 3.8 % of 400 where no field has one, 7.0 % (standard error 1.1) beside a strong one (99.8 % found)."""
    generator = np.random.default_rng(0)
    results = [found(effect, generator) for _ in range(SEARCHES)]
    wrong = sum(bool(fields - ({"0"} if effect else set())) for fields in results) / SEARCHES
    assert wrong <= LEVEL + 2 * (LEVEL * (1 - LEVEL) / SEARCHES) ** 0.5
    assert wrong > 0.01  # the test is not so timid that it would find nothing at all
    assert not effect or np.mean(["0" in fields for fields in results]) > 0.99


def test_beside_a_strong_field_a_weak_one_need_only_beat_noise() -> None:
    """What stands out stays in place, and its variance is no noise in the next step."""
    generator = np.random.default_rng(1)
    columns = generator.normal(size=(60, 3))
    scores = 3.0 * columns[:, 0] + columns[:, 1]
    residual = scores - 3.0 * columns[:, 0]

    def values(left: list[str]) -> Array:
        rest = residual if "0" not in left else scores
        return shares(left, columns, rest, generator)

    stands = step_down({"all": values}, {"all": ["0", "1", "2"]})
    assert {field for (_, field), stand in stands.items() if stand.p_value <= LEVEL} == {"0", "1"}
    ordered = [stands["all", field].p_value for field in "012"]
    assert ordered == sorted(ordered)


def test_a_field_that_cannot_be_dealt_out_does_not_stand_out() -> None:
    fixed = np.full((1 + DEALS, 2, 1), 0.7)
    assert step_down({"all": lambda left: fixed}, {"all": ["x"]})["all", "x"].p_value == 1.0
    assert step_down({}, {"all": []}) == {}


def numbered(*numbers: int) -> Order:
    return np.array(numbers, dtype=np.intp)


def test_rows_are_exchanged_within_strata_and_linked_ones_alike() -> None:
    strata, linked = np.tile([2, 0, 1], 8).astype(np.intp), np.repeat(np.arange(8), 3).astype(np.intp)
    order = dealt(strata, linked, np.random.default_rng(0))
    assert (strata[order] == strata).all()
    assert sorted(order) == list(range(24))
    assert (linked[order].reshape(8, 3) == linked[order].reshape(8, 3)[:, :1]).all()
    free = dealt(strata, np.arange(24), np.random.default_rng(0))
    assert (strata[free] == strata).all()
    assert len({tuple(free[strata == number] // 3) for number in range(3)}) > 1


def test_every_order_is_equally_likely() -> None:
    generator = np.random.default_rng(0)
    orders = [tuple(dealt(numbered(0, 0, 0), numbered(0, 1, 2), generator)) for _ in range(3_000)]
    counts = [orders.count(order) for order in set(orders)]
    assert len(counts) == 6
    assert max(counts) < 600 > min(counts) > 400

import random
from collections import Counter, namedtuple

import pytest

from dassl.data.samplers import build_sampler
from dassl.utils import UserError

Item = namedtuple("Item", "label domain")
ITEMS = [Item(label=i % 5, domain=min(i // 10, 2)) for i in range(50)]  # domains of 10, 10 and 30 items


def batches(sampler, size):
    indices = list(sampler)
    assert len(indices) == len(sampler)
    return [indices[start : start + size] for start in range(0, len(indices), size)]


def test_sequential_and_random_visit_every_item_once():
    assert list(build_sampler("SequentialSampler", data_source=ITEMS)) == list(range(50))
    assert sorted(build_sampler("RandomSampler", data_source=ITEMS)) == list(range(50))


@pytest.mark.parametrize(("kind", "n_domain"), [("RandomDomainSampler", 0), ("SeqDomainSampler", 0)])
def test_domain_samplers_balance_all_domains(kind, n_domain):
    sampler = build_sampler(kind, data_source=ITEMS, batch_size=6, n_domain=n_domain)
    found = batches(sampler, 6)
    assert len(found) == 5  # until the domains of ten are used up
    for batch in found:
        assert Counter(ITEMS[index].domain for index in batch) == {0: 2, 1: 2, 2: 2}
    assert len({index for batch in found for index in batch}) == 30


def test_random_domain_sampler_takes_some_domains():
    sampler = build_sampler("RandomDomainSampler", data_source=ITEMS, batch_size=6, n_domain=2)
    for _ in range(20):
        for batch in batches(sampler, 6):
            assert sorted(Counter(ITEMS[index].domain for index in batch).values()) == [3, 3]


def test_seq_domain_sampler_keeps_the_order_of_domains():
    batch = batches(build_sampler("SeqDomainSampler", data_source=ITEMS, batch_size=6), 6)[0]
    assert [ITEMS[index].domain for index in batch] == [0, 0, 1, 1, 2, 2]


def test_class_sampler_takes_as_many_of_each_class():
    items = ITEMS + [Item(label=5, domain=0)] * 2
    sampler = build_sampler("RandomClassSampler", data_source=items, batch_size=12, n_ins=4)
    for _ in range(20):
        for batch in batches(sampler, 12):
            assert sorted(Counter(items[index].label for index in batch).values()) == [4, 4, 4]


def test_epochs_follow_the_seed_and_building_does_not_draw():
    random.seed(1)
    state = random.getstate()
    sampler = build_sampler("RandomClassSampler", data_source=ITEMS, batch_size=4, n_ins=2)
    assert random.getstate() == state
    first, second = list(sampler), list(sampler)
    assert first != second
    random.setstate(state)
    assert [list(sampler), list(sampler)] == [first, second]


def test_impossible_batches_are_errors():
    with pytest.raises(UserError, match="BATCH_SIZE 7"):
        build_sampler("SeqDomainSampler", data_source=ITEMS, batch_size=7)
    with pytest.raises(UserError, match="N_INS 9"):
        build_sampler("RandomClassSampler", data_source=ITEMS, batch_size=8, n_ins=9)
    with pytest.raises(UserError, match="6 classes, there are 5"):
        build_sampler("RandomClassSampler", data_source=ITEMS, batch_size=12, n_ins=2)
    with pytest.raises(UserError, match='did you mean "RandomSampler"'):
        build_sampler("RandmSampler", data_source=ITEMS)

"""DataLoader: every sample once, in an order that seed and epoch alone decide."""

import json
import signal
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastconv._random import manual_seed
from fastconv.data import DataLoader

sizes = st.integers(0, 20)


@given(n=sizes, batch_size=st.integers(1, 25), shuffle=st.booleans(), drop_last=st.booleans())
def test_an_epoch_holds_every_sample_once(n, batch_size, shuffle, drop_last):
    x = np.arange(3 * n, dtype=np.float32).reshape(n, 3)
    loader = DataLoader(x, x[:, 0] + 0.5, batch_size, shuffle, drop_last)
    batches = list(loader)
    assert len(batches) == len(loader)
    assert all(len(bx) == len(by) == batch_size for bx, by in batches[:-1])
    seen = [row.tolist() for bx, _ in batches for row in bx]
    labels = [value for _, by in batches for value in by.tolist()]
    assert labels == [row[0] + 0.5 for row in seen]
    kept = n - n % batch_size if drop_last else n
    assert len(seen) == kept
    if not shuffle:
        assert seen == x[:kept].tolist()
    elif kept == n:
        assert sorted(seen) == x.tolist()


def orders(loader, epochs):
    return [np.concatenate([y for _, y in loader]).tolist() for _ in range(epochs)]


def test_order_is_reproducible_and_changes_with_epoch_and_seed():
    x = np.arange(100)
    first = orders(DataLoader(x, x, 7, shuffle=True, seed=3), 3)
    assert first == orders(DataLoader(x, x, 7, shuffle=True, seed=3), 3)
    # The order does not depend on the batch size.
    assert first == orders(DataLoader(x, x, 11, shuffle=True, seed=3), 3)
    other = orders(DataLoader(x, x, 7, shuffle=True, seed=4), 3)
    assert len({tuple(order) for order in first + other}) == 6


def test_manual_seed_decides_the_order_without_a_seed():
    x = np.arange(100)

    def order(seed):
        manual_seed(seed)
        return orders(DataLoader(x, x, 10, shuffle=True), 1)

    assert order(1) == order(1)
    assert order(1) != order(2)


def test_an_abandoned_epoch_counts():
    x = np.arange(30)
    whole = DataLoader(x, x, 10, shuffle=True, seed=2)
    second = orders(whole, 2)[1]
    loader = DataLoader(x, x, 10, shuffle=True, seed=2)
    next(iter(loader))
    assert orders(loader, 1) == [second]


def test_state_resumes_at_the_next_epoch():
    x = np.arange(30)
    loader = DataLoader(x, x, 4, shuffle=True, seed=5)
    orders(loader, 2)
    resumed = DataLoader(x, x, 4, shuffle=True)
    resumed.load_state_dict(loader.state_dict())
    assert orders(resumed, 2) == orders(loader, 2)


def noisy(inputs, rng):
    return inputs + rng.random(len(inputs))


def resumed(state, **options):
    x = np.arange(30.0)
    loader = DataLoader(x, x, 4, shuffle=True, transform=noisy, **options)
    if state is not None:
        loader.load_state_dict(json.loads(json.dumps(state)))
    return loader


def drained(loader, epochs=2):
    return [[part.tobytes() for part in batch] for _ in range(epochs) for batch in loader]


@pytest.mark.parametrize("given", range(9))
def test_state_resumes_in_the_middle_of_an_epoch(given):
    loader = resumed(None, seed=5)
    drained(loader, 1)
    epoch = iter(loader)
    for _ in range(given):
        next(epoch, None)
    state = loader.state_dict()
    assert state == {"seed": 5, "epoch": 1, "batch": given}
    rest = [[part.tobytes() for part in batch] for batch in epoch]
    assert len(rest) == 8 - given
    assert loader.state_dict() == {"seed": 5, "epoch": 2, "batch": 0}
    again = resumed(state)
    assert again.state_dict() == state
    assert drained(again, 1) == rest
    assert again.state_dict() == loader.state_dict()
    assert drained(again) == drained(loader)


def test_state_of_an_epoch_left_early_is_where_it_was_left():
    loader = resumed(None, seed=5)
    for batch, _ in enumerate(loader, 1):
        if batch == 3:
            break
    state = loader.state_dict()
    assert state == {"seed": 5, "epoch": 0, "batch": 3}
    assert drained(resumed(state), 1) == drained(resumed(None, seed=5), 1)[3:]
    # In the same process the next loop begins the next epoch, as ever.
    assert drained(loader, 1) == drained(resumed({"seed": 5, "epoch": 1}), 1)


def test_state_is_of_the_epoch_begun_last():
    loader = resumed(None, seed=5)
    first, second = iter(loader), iter(loader)
    next(second)
    assert len(list(first)) == 8
    assert loader.state_dict() == {"seed": 5, "epoch": 1, "batch": 1}


def test_setting_the_epoch_forgets_the_position():
    loader = resumed({"seed": 5, "epoch": 3, "batch": 2})
    next(iter(loader))
    loader.epoch = 3
    assert loader.state_dict() == {"seed": 5, "epoch": 3, "batch": 0}
    assert len(list(loader)) == len(loader) == 8


def test_a_state_must_fit():
    with pytest.raises(ValueError, match="DataLoader: batch must be at most 8, got 9"):
        resumed({"seed": 5, "epoch": 3, "batch": 9})
    with pytest.raises(ValueError, match="DataLoader: epoch must be at least 0, got -1"):
        resumed({"seed": 5, "epoch": -1})


def threads():
    return [each for each in threading.enumerate() if each.name.startswith("DataLoader")]


@pytest.mark.parametrize("count", [1, 3, 100])
@pytest.mark.parametrize("first", [0, 3, 8])
def test_prefetched_batches_are_the_same(count, first):
    state = {"seed": 5, "epoch": 2, "batch": first}
    ahead, plain = resumed(state, prefetch=count), resumed(state)
    for _ in range(2):
        for left, right in zip(ahead, plain, strict=True):
            for a, b in zip(left, right, strict=True):
                np.testing.assert_array_equal(a, b, strict=True)
            # What was prepared does not count, only what was handed out.
            assert ahead.state_dict() == plain.state_dict()
        assert ahead.state_dict() == plain.state_dict()
        assert not threads()


@pytest.mark.parametrize("count", [1, 3])
def test_prefetch_works_ahead_and_no_further(count):
    made, caller = [], threading.current_thread()

    def transform(inputs, rng):
        assert threading.current_thread() is not caller
        made.append(int(inputs[0]))
        return inputs

    x = np.arange(12)
    batches = iter(DataLoader(x, x, transform=transform, prefetch=count))
    pause = threading.Event()
    for number in range(4):
        inputs, _ = next(batches)
        assert inputs == [number]
        while len(made) < number + 1 + count:
            pause.wait(0.001)
        pause.wait(0.02)
        assert made == list(range(number + 1 + count))
    batches.close()
    assert not threads()


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_failing_transform_is_heard_of_in_its_turn(count):
    def transform(inputs, rng):
        if inputs[0] == 3:
            raise RuntimeError("sample 3")
        return inputs

    x = np.arange(6)
    loader = DataLoader(x, x, transform=transform, prefetch=count)
    seen = []
    with pytest.raises(RuntimeError, match="sample 3"):
        seen.extend(int(inputs[0]) for inputs, _ in loader)
    assert seen == [0, 1, 2]
    assert loader.state_dict()["batch"] == 3
    assert not threads()


def test_leaving_early_leaves_no_thread():
    loader = resumed(None, seed=5, prefetch=2)
    for _ in loader:
        assert threads()
        break
    assert not threads()
    assert loader.state_dict() == {"seed": 5, "epoch": 0, "batch": 1}

    def interrupted():
        for _ in loader:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not threads()


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="signals of POSIX")
def test_interrupted_while_it_waits_for_a_batch(ctrl_c_interrupts):
    main = threading.main_thread().ident

    def transform(inputs, rng):
        if inputs[0] == 2:
            signal.pthread_kill(main, signal.SIGINT)
            threading.Event().wait(0.05)
        return inputs

    x = np.arange(6)
    loader = DataLoader(x, x, transform=transform, prefetch=1)
    with pytest.raises(KeyboardInterrupt):
        list(loader)
    assert not threads()
    assert loader.state_dict()["batch"] <= 2


def test_no_needless_copy_and_memory_order_kept():
    x = np.zeros((10, 4, 5, 3)).transpose(0, 3, 1, 2)
    y = np.arange(10)
    for bx, by in DataLoader(x, y, 4):
        assert np.shares_memory(bx, x)
        assert np.shares_memory(by, y)
    for bx, _ in DataLoader(x, y, 4, shuffle=True):
        assert bx.transpose(0, 2, 3, 1).flags.c_contiguous


def test_transform_gets_batches_and_its_own_random_numbers():
    x = np.arange(12.0)

    def epoch(loader, number):
        loader.epoch = number
        return [bx.tolist() for bx, _ in loader]

    first, second = (DataLoader(x, x, 4, transform=noisy, seed=1) for _ in range(2))
    assert epoch(first, 0) == epoch(second, 0)
    noise = [np.array(batch) % 1 for e in range(3) for batch in epoch(first, e)]
    assert len({tuple(each.round(9)) for each in noise}) == 9
    assert x.tolist() == list(range(12))


def test_arguments_are_checked():
    x = np.zeros((5, 2))
    with pytest.raises(ValueError, match=r"same number of samples, got shapes \(5, 2\) and \(4,\)"):
        DataLoader(x, np.zeros(4))
    with pytest.raises(ValueError, match=r"same number of samples"):
        DataLoader(1.0, 2.0)
    with pytest.raises(ValueError, match=r"DataLoader: batch_size must be at least 1, got 0"):
        DataLoader(x, x, 0)
    with pytest.raises(TypeError, match=r"DataLoader: batch_size must be an integer, got 2.5"):
        DataLoader(x, x, 2.5)
    with pytest.raises(ValueError, match=r"DataLoader: prefetch must be at least 0, got -1"):
        DataLoader(x, x, prefetch=-1)
    with pytest.raises(ValueError, match=r"DataLoader: seed must be at least 0, got -1"):
        DataLoader(x, x, seed=-1)

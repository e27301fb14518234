"""Outputs come from recycled memory: aligned, never shared, bounded, given back on request."""

import gc
import tracemalloc

import numpy as np
import programs
import pytest

import fastconv
from fastconv import nn, optim
from fastconv._kernels import memory

LARGE = 1 << 20


def view(buffer):
    return np.frombuffer(buffer, np.uint8)


def test_a_buffer_is_aligned_writeable_and_of_its_size():
    for nbytes in (1, 63, 64, 65, LARGE):
        array = view(memory.Buffer(nbytes))
        assert array.size == nbytes
        assert array.ctypes.data % 64 == 0
        assert array.flags.writeable
        array[...] = 7


def test_memory_in_use_is_not_handed_out_again():
    held = [view(memory.Buffer(LARGE)) for _ in range(4)]
    for number, array in enumerate(held):
        array[...] = number
    assert [int(array.min()) for array in held] == [0, 1, 2, 3]
    assert [int(array.max()) for array in held] == [0, 1, 2, 3]


def test_memory_comes_back_when_the_last_view_is_gone():
    gc.collect()  # what earlier tests have left
    fastconv.empty_cache()
    first = view(memory.Buffer(LARGE))
    part = first[10:20].reshape(2, 5)
    address = first.ctypes.data
    del first
    assert view(memory.Buffer(LARGE)).ctypes.data != address
    fastconv.empty_cache()
    del part
    gc.collect()
    assert memory.cached_bytes() == LARGE
    assert view(memory.Buffer(LARGE - 1000)).ctypes.data == address


def test_what_waits_is_bounded():
    held = [memory.Buffer(memory.KEPT_BYTES // 4) for _ in range(8)]
    del held
    assert 0 < memory.cached_bytes() <= memory.KEPT_BYTES
    many = [memory.Buffer(LARGE) for _ in range(200)]
    del many
    assert memory.cached_bytes() <= memory.KEPT_BYTES
    fastconv.empty_cache()
    assert memory.cached_bytes() == 0


def test_outputs_are_recycled_and_still_right():
    x = np.ones((4, 8, 64, 64), np.float32)
    w = np.ones((8, 8, 3, 3), np.float32)
    first = fastconv.conv2d(x, w)
    address = first.ctypes.data
    kept = first.copy()
    del first
    again = fastconv.conv2d(x, w)
    assert again.ctypes.data == address
    np.testing.assert_array_equal(again, kept)


def test_the_environment_turns_it_off():
    text = (
        "import fastconv; from fastconv._kernels import memory\n"
        "memory.Buffer(1 << 20); print(memory.cached_bytes())"
    )
    assert programs.output(text, FASTCONV_NO_CACHE="1") == "0"
    assert programs.output(text) == str(1 << 20)


@pytest.mark.parametrize("channels_last", [False, True])
def test_a_training_step_takes_no_new_memory(channels_last):
    """After the first ones: outputs and gradients lie where those of the step before lay."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((16, 3, 40, 40)).astype(np.float32)
    x = fastconv.channels_last(x) if channels_last else x
    target = rng.integers(0, 10, len(x))
    body = nn.Sequential(nn.Conv2d(16, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU())
    model = nn.Sequential(
        nn.Conv2d(3, 16, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Residual(body), nn.ReLU(),
        nn.Flatten(), nn.Linear(16 * 19 * 19, 10),
    )  # fmt: skip
    loss, optimizer = nn.CrossEntropyLoss(), optim.Adam(model.parameters())

    def step():
        optimizer.zero_grad()
        loss(model(x), target)
        model.backward(loss.backward(), needs_input_grad=False)
        optimizer.step()

    for _ in range(3):
        step()
    before = memory.fresh_blocks()
    tracemalloc.start()
    try:
        for _ in range(5):
            step()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert memory.fresh_blocks() == before
    assert peak < x.nbytes / 2  # small arrays, which NumPy keeps by itself

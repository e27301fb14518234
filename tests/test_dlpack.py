"""Arrays of other libraries, in and out through DLPack, on their own memory."""

import numpy as np
import pytest

import fastconv
from fastconv import nn
from fastconv.functional import _arrays


class Foreign:
    """An array of some library: it knows DLPack, and none of NumPy's own doors."""

    def __init__(self, array, device=(1, 0), refuses=None):
        self.array, self.on, self.refuses = array, device, refuses

    shape = property(lambda self: self.array.shape)
    ndim = property(lambda self: self.array.ndim)

    def __dlpack_device__(self):
        return self.on

    def __dlpack__(self, **options):
        if self.refuses:
            raise self.refuses
        return self.array.__dlpack__(**options)


def normal(*shape, dtype=np.float32):
    return np.random.default_rng(len(shape)).standard_normal(shape).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_argument_of_a_convolution(dtype):
    x, weight, bias = normal(2, 3, 7, 8), normal(4, 3, 3, 3), normal(4)
    x, weight, bias = (each.astype(dtype) for each in (x, weight, bias))
    y = fastconv.conv2d(x, weight, bias, padding=1)
    got = fastconv.conv2d(Foreign(x), Foreign(weight), Foreign(bias), padding=1)
    assert type(got) is np.ndarray
    np.testing.assert_array_equal(got, y)
    wanted = fastconv.conv2d_backward(y, x, weight, padding=1)
    found = fastconv.conv2d_backward(Foreign(y), Foreign(x), Foreign(weight), padding=1)
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("device", [1, 3, 11])
def test_the_memory_is_the_same_with_its_strides(device):
    for array in (normal(2, 3, 4, 5), normal(2, 4, 5, 3).transpose(0, 3, 1, 2), normal(9)[::-2]):
        got = _arrays.as_array("test", "input", Foreign(array, (device, 0)))
        assert got.ctypes.data == array.ctypes.data
        assert got.strides == array.strides


def test_channels_last_is_kept():
    x = normal(2, 7, 8, 3).transpose(0, 3, 1, 2)
    y = fastconv.conv2d(Foreign(x), normal(4, 3, 3, 3))
    assert y.strides[1] == y.itemsize


def test_pools_losses_and_layers_take_them_too():
    x = normal(2, 3, 8, 8)
    y, indices = fastconv.max_pool2d(Foreign(x), 2, return_indices=True)
    grad = fastconv.max_pool2d_backward(Foreign(y), Foreign(indices), x.shape)
    np.testing.assert_array_equal(grad, fastconv.max_pool2d_backward(y, indices, x.shape))
    logits, target = normal(5, 4), np.arange(5) % 4
    assert fastconv.cross_entropy(Foreign(logits), Foreign(target)) == fastconv.cross_entropy(
        logits, target
    )
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.ConvTranspose2d(4, 2, 3)
    )
    grads = []
    for given in (x, Foreign(x)):
        y = model(given)
        grads.append(model.backward(np.ones_like(y)))
    np.testing.assert_array_equal(*grads)


def test_outputs_of_any_size_go_out_without_a_copy():
    for size in (4, 100):  # of memory that is new, and that is recycled
        y = fastconv.conv2d(normal(8, 1, size, size), normal(4, 1, 3, 3))
        back = np.from_dlpack(y)
        assert back.ctypes.data == y.ctypes.data
        before, address = y.copy(), y.ctypes.data
        del y  # what came out holds the memory
        for _ in range(4):
            again = fastconv.conv2d(normal(8, 1, size, size), normal(4, 1, 3, 3))
            assert again.ctypes.data != address
        np.testing.assert_array_equal(back, before)


@pytest.mark.parametrize(
    ("array", "error", "message"),
    [
        (Foreign(normal(1, 1, 3, 3), device=(2, 0)), ValueError,
         r"conv2d: input must be in the memory of the CPU, got a \S+Foreign on DLPack's device 2"),
        (Foreign(normal(1, 1, 3, 3), refuses=BufferError("it says no")), TypeError,
         "conv2d: input must be an array that DLPack .* it says no"),
        (Foreign(np.ones((1, 1, 3, 3), int)), TypeError, "float32 or float64, got int64"),
    ],
)  # fmt: skip
def test_errors(array, error, message):
    with pytest.raises(error, match=message):
        fastconv.conv2d(array, normal(1, 1, 2, 2))


def test_tensors_of_torch():
    torch = pytest.importorskip("torch", reason="PyTorch, the extra 'torch', is not installed")
    x = torch.from_numpy(normal(2, 3, 7, 8)).to(memory_format=torch.channels_last)
    weight = torch.from_numpy(normal(4, 3, 3, 3))
    assert _arrays.as_array("test", "input", x).ctypes.data == x.data_ptr()
    y = fastconv.conv2d(x, weight)
    tensor = torch.from_dlpack(y)
    assert tensor.data_ptr() == y.ctypes.data
    assert tensor.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(tensor, torch.nn.functional.conv2d(x, weight))
    for given, message in (
        (x.bfloat16(), "torch.Tensor of torch.bfloat16"),
        (x.clone().requires_grad_(), "require gradient"),
        (x.to("meta"), "meta"),
        (x.half(), "must be float32 or float64, got float16"),
    ):
        with pytest.raises(TypeError, match=message):
            fastconv.conv2d(given, weight)

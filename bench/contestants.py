"""Who takes part: fastconv, PyTorch, ONNX Runtime, and im2col + BLAS.

A contestant is made for a number of threads and gives `calls(problem, arrays, layout)`, a function
without arguments for each pass that it has; `layouts(problem, dtype)` says in which memory orders.
All of them work on the same arrays.  An ImportError while one is made names what is missing.
"""

import sys

import numpy as np

import fastconv
from fastconv import _kernels
from fastconv.bench import LAYOUTS
from fastconv.bench.im2col import Im2col

ALIGN = 64


def draw(problem, layout, dtype):
    """Random (input, weight, grad_output) of a problem, the images in the layout.

    They start at a cache line, as every library's own arrays do.
    """
    rng = np.random.default_rng(0)

    def array(shape, last=False):
        values = rng.standard_normal(shape, dtype)
        values = np.moveaxis(values, 1, -1) if last else values
        block = np.empty(values.nbytes + ALIGN, np.uint8)
        start = -block.ctypes.data % ALIGN
        result = block[start : start + values.nbytes].view(dtype).reshape(values.shape)
        result[...] = values
        return np.moveaxis(result, -1, 1) if last else result

    last = layout == "channels_last"
    return (
        array(problem.input_shape, last),
        array(problem.weight_shape),
        array(problem.output_shape, last),
    )


class Fastconv:
    """Ours, as a user calls it."""

    name = "fastconv"
    algorithm = "direct"

    def __init__(self, threads):
        self._threads = fastconv.num_threads(threads)
        self._threads.__enter__()

    def close(self):
        self._threads.__exit__(None, None, None)

    def layouts(self, problem, dtype):
        return LAYOUTS

    def calls(self, problem, arrays, layout):
        x, weight, grad_output = arrays
        self._kernel = self._family()[x.dtype.char]
        self._kernel.scratch_bytes()  # that of earlier calls
        forward = getattr(fastconv, problem.operation)
        backward = getattr(fastconv, problem.operation + "_backward")
        arguments = problem.arguments | {"algorithm": self.algorithm}

        def gradient(at):
            needs = tuple(i == at for i in range(3))
            return lambda: backward(grad_output, x, weight, **arguments, needs=needs)[at]

        return {
            "forward": lambda: forward(x, weight, **arguments),
            "grad_input": gradient(0),
            "grad_weight": gradient(1),
        }

    def extra_bytes(self):
        """Scratch and packed weights since the last look."""
        return self._kernel.scratch_bytes()

    def _family(self):
        return _kernels.conv


class Winograd(Fastconv):
    """Ours by another algorithm, where all phases have 2 or 3 taps and channels are not too few."""

    name = "winograd"
    algorithm = "winograd"

    def layouts(self, problem, dtype):
        applies = {*problem.dilation} == {1} and all(
            k in (2 * s, 3 * s) for k, s in zip(problem.kernel, problem.stride, strict=True)
        )
        channels = min(problem.in_channels, problem.out_channels) // problem.groups
        return LAYOUTS if applies and channels >= 16 else ()

    def _family(self):
        return _kernels.winograd


class Torch:
    """PyTorch's operators on tensors that need no gradient, so that nothing is recorded."""

    name = "torch"

    def __init__(self, threads):
        import torch

        self.torch = torch
        self._before = torch.get_num_threads()
        torch.set_num_threads(threads)

    def close(self):
        self.torch.set_num_threads(self._before)

    def layouts(self, problem, dtype):
        return LAYOUTS if problem.ndim > 1 else LAYOUTS[:1]

    def calls(self, problem, arrays, layout):
        torch = self.torch
        x, weight, grad_output = map(torch.from_numpy, arrays)
        if layout == "channels_last":
            memory = torch.channels_last if problem.ndim == 2 else torch.channels_last_3d
            weight = weight.to(memory_format=memory)
        settings = (
            problem.stride, problem.padding, problem.dilation, problem.transposed,
            problem.output_padding, problem.groups,
        )  # fmt: skip

        def gradient(at):
            mask = [i == at for i in range(3)]
            return lambda: torch.ops.aten.convolution_backward(
                grad_output, x, weight, None, *settings, mask
            )[at]

        return {
            "forward": lambda: torch.ops.aten.convolution(x, weight, None, *settings),
            "grad_input": gradient(0),
            "grad_weight": gradient(1),
        }

    def extra_bytes(self):
        return None


class OnnxRuntime:
    """A model of one node with constant weights, which its session may pack beforehand."""

    name = "onnxruntime"

    def __init__(self, threads):
        import onnx
        import onnxruntime

        self.onnx, self.runtime = onnx, onnxruntime
        self.options = onnxruntime.SessionOptions()
        self.options.intra_op_num_threads = threads
        self.options.inter_op_num_threads = 1

    def close(self):
        pass

    def layouts(self, problem, dtype):
        return LAYOUTS[:1] if dtype == "float32" else ()  # its Conv knows no float64

    def calls(self, problem, arrays, layout):
        x, weight, _ = arrays
        helper = self.onnx.helper
        settings = {
            "kernel_shape": problem.kernel,
            "strides": problem.stride,
            "pads": problem.padding * 2,
            "dilations": problem.dilation,
            "group": problem.groups,
        }
        if problem.transposed:
            settings["output_padding"] = problem.output_padding
        kind = "ConvTranspose" if problem.transposed else "Conv"
        number = self.onnx.TensorProto.FLOAT
        graph = helper.make_graph(
            [helper.make_node(kind, ["x", "w"], ["y"], **settings)],
            problem.operation,
            [helper.make_tensor_value_info("x", number, problem.input_shape)],
            [helper.make_tensor_value_info("y", number, problem.output_shape)],
            [self.onnx.numpy_helper.from_array(weight, "w")],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        session = self.runtime.InferenceSession(
            model.SerializeToString(), self.options, providers=["CPUExecutionProvider"]
        )
        return {"forward": lambda: session.run(None, {"x": x})[0]}

    def extra_bytes(self):
        return None


class Im2colBlas:
    """`Im2col`, with NumPy's BLAS held to the number of threads."""

    name = "im2col"

    def __init__(self, threads):
        from threadpoolctl import threadpool_limits

        self.threads = threads
        self._limits = threadpool_limits(threads, "blas")

    def close(self):
        self._limits.restore_original_limits()

    def layouts(self, problem, dtype):
        return LAYOUTS[:1]

    def calls(self, problem, arrays, layout):
        x, weight, grad_output = arrays
        self._last = Im2col(problem, x.dtype, self.threads)
        passes = self._last
        return {
            "forward": lambda: passes.forward(x, weight),
            "grad_input": lambda: passes.grad_input(grad_output, weight),
            "grad_weight": lambda: passes.grad_weight(grad_output, x),
        }

    def extra_bytes(self):
        return self._last.bytes


KINDS = {kind.name: kind for kind in (Fastconv, Torch, OnnxRuntime, Im2colBlas)}
PACKAGES = {"torch": "torch", "onnxruntime": "'fastconv[bench]'", "im2col": "'fastconv[bench]'"}


def present(peers, threads):
    """fastconv and those of the peers that are installed; a line on stderr for each other."""
    contestants = [Fastconv(threads), Winograd(threads)]
    for peer in peers:
        try:
            contestants.append(KINDS[peer](threads))
        except ImportError as error:
            print(
                f"{peer} is left out, {error.name or error} is not installed: "
                f"pip install {PACKAGES[peer]}",
                file=sys.stderr,
            )
    return contestants

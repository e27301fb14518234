"""What a user may write: `mypy --strict` passes it, and tests/test_types.py runs it."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastconv
from fastconv import nn, optim
from fastconv.callbacks import Callback, EarlyStopping
from fastconv.data import DataLoader, Dataset, mnist


class Losses(Callback):
    def __init__(self) -> None:
        self.values: list[float] = []

    def on_epoch_end(self, run: fastconv.History) -> None:
        self.values.append(run.logs["loss"])


class Scale(nn.Module):
    def __init__(self, channels: int) -> None:
        self.factor = nn.Parameter(np.ones((channels, 1, 1), np.float32))

    def forward(self, input: NDArray[Any]) -> NDArray[Any]:
        self.save_for_backward(input)
        return input * self.factor.data

    def backward(self, grad_output: NDArray[Any], needs_input_grad: bool = True) -> NDArray[Any]:
        (input,) = self.saved_for_backward()
        self.factor.accumulate((grad_output * input).sum((0, 2, 3))[:, None, None])
        return grad_output * self.factor.data


def layers(channels: int) -> nn.Sequential:
    conv = nn.Conv2d(1, channels, kernel_size=(3, 3), padding="same", bias=False)
    assert conv.weight.data.shape == (channels, 1, 3, 3)
    head = (nn.Flatten(), nn.LazyLinear(10))
    return nn.Sequential(conv, Scale(channels), nn.ReLU(), nn.MaxPool2d(4), *head)


data: Dataset = mnist()
x, y = fastconv.data.normalize(data.x_test[:256]), data.y_test[:256]
model = layers(4).build_for(data.image_shape)
adam = optim.Adam(model.parameters(), lr=1e-2, betas=(0.8, 0.9))
loader, losses = DataLoader(x, y, batch_size=32, shuffle=True, seed=0), Losses()
history = fastconv.fit(
    model, loader, loss=nn.CrossEntropyLoss(), optimizer=adam, epochs=2, verbose=0,
    callbacks=[losses, EarlyStopping("loss", patience=3)],
)  # fmt: skip
values, indices = fastconv.max_pool2d(x, 2, return_indices=True)
pooled = fastconv.max_pool2d_backward(values, indices, x.shape)
grad_x, grad_w, _ = fastconv.conv2d_backward(x, x, np.ones((1, 1, 1, 1), np.float32))
assert grad_x is not None
assert grad_x.dtype == pooled.dtype
state: dict[str, NDArray[Any]] = model.state_dict()
score: float = fastconv.evaluate(model, (x, y))["accuracy"]
print(losses.values[1] < losses.values[0], history.epoch, len(state), score > 0.2)

"""Trains a small convolutional network on MNIST: 99 % of the test digits after one epoch."""

import fastconv
from fastconv import nn, optim
from fastconv.data import DataLoader, mnist, normalize

fastconv.manual_seed(0)
x_train, y_train, x_test, y_test = mnist()
x_train, x_test = (fastconv.channels_last(normalize(x, 0.13, 0.31)) for x in (x_train, x_test))
train = DataLoader(x_train, y_train, batch_size=128, shuffle=True)
test = DataLoader(x_test, y_test, batch_size=256)
block1 = [nn.LazyConv2d(16, kernel_size=5), nn.ReLU(), nn.MaxPool2d(2)]
block2 = [nn.LazyConv2d(32, kernel_size=3), nn.ReLU(), nn.MaxPool2d(2)]
head = [nn.Flatten(), nn.LazyLinear(128), nn.ReLU(), nn.LazyLinear(10)]
model = nn.Sequential(*block1, *block2, *head, input_shape=(1, 28, 28))
loss = nn.CrossEntropyLoss(label_smoothing=0.1)
adam = optim.Adam(model.parameters(), lr=0.01, betas=(0.7, 0.9))
cycle = optim.lr_scheduler.OneCycleLR(adam, 0.01, total_steps=len(train), cycle_momentum=False)
fastconv.fit(model, train, loss=loss, optimizer=adam, epochs=1, lr_scheduler=cycle)
print(f"test accuracy {fastconv.evaluate(model, test)['accuracy']:.4f}")

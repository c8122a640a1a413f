"""The program of convolutions in PyTorch, channels last: import, build, 100 steps, exit."""

import torch
from torch import nn

from benchmarks import data
from benchmarks.peers.torch_networks import arranged, cnn

model = arranged(cnn())
loss_function = nn.CrossEntropyLoss()
optimizer = torch.optim.Adam(model.parameters(), lr=data.PICTURE_RATE, fused=True)
pictures, classes = map(torch.from_numpy, data.cnn_data())
x, y = arranged(pictures.permute(0, 3, 1, 2)), classes.long()
for _ in range(100):
    optimizer.zero_grad()
    loss = loss_function(model(x), y)
    loss.backward()
    optimizer.step()
print(float(loss))

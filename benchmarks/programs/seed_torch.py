"""The seed program in PyTorch: import, build, 1000 full-batch Adam steps, exit."""

import torch
from torch import nn

model = nn.Sequential(nn.Linear(10, 10), nn.ReLU(), nn.Linear(10, 1))
loss_function = nn.MSELoss()
optimizer = torch.optim.Adam(model.parameters(), lr=0.01, fused=True)
x, y = torch.rand(1000, 10), torch.rand(1000, 1)
for _ in range(1000):
    optimizer.zero_grad()
    loss = loss_function(model(x), y)
    loss.backward()
    optimizer.step()
print(float(loss))

"""The same method as it is usually written, to compare with: complete in this file, and nothing of the study used.

Images pass one by one through torchvision transforms in a DataLoader, hooks bring each error's norm to the host, the
penalty is built layer by layer and differentiated by autograd. Given equal weights and images it makes the same step as
the study's trainer; the tests hold it to that. Plain fp32, loading in the training process: one core for everything, as
a trial of a sweep has.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

MOMENTUM = 0.9


class Images(Dataset[tuple[Tensor, int]]):
    """Arrays (N, H, W, C) as a data set of transformed images."""

    def __init__(self, images: np.ndarray[Any, Any], labels: np.ndarray[Any, Any], *, mirror: bool) -> None:
        self.images, self.labels = images, labels
        size = images.shape[1]
        steps: list[Any] = [transforms.ToPILImage(), transforms.RandomCrop(size, padding=size // 8)]
        if mirror:
            steps.append(transforms.RandomHorizontalFlip())
        pixels = images.reshape(-1, images.shape[-1]) / 255.0
        normalize = transforms.Normalize(pixels.mean(axis=0), pixels.std(axis=0))
        self.transform = transforms.Compose([*steps, transforms.ToTensor(), normalize])

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image: Tensor = self.transform(self.images[index])
        return image, int(self.labels[index])


def plain_net(depth: int, in_channels: int, num_classes: int) -> nn.Sequential:
    """A chain of conv, norm, ReLU in three stages of 16, 32 and 64 channels, a pool and a linear layer."""
    layers: list[nn.Module] = []
    channels, each = in_channels, (depth - 2) // 3
    for index in range(depth - 1):
        stage = max(0, index - 1) // each
        stride = 2 if index > 1 and (index - 1) % each == 0 else 1
        layers += [nn.Conv2d(channels, 16 * 2**stage, 3, stride=stride, padding=1, bias=False)]
        channels = 16 * 2**stage
        layers += [nn.BatchNorm2d(channels), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, num_classes))


class UsualLoop:
    """Trains a plain net with the orthonormal penalty and pairwise modulation to the band's edge."""

    def __init__(self, net: nn.Sequential, *, learning_rate: float, strength: float, band: float) -> None:
        self.net, self.strength, self.band = net, strength, band
        self.optimizer = torch.optim.SGD(net.parameters(), lr=learning_rate, momentum=MOMENTUM)
        self.norm_above: float | None = None
        for module in net:
            if isinstance(module, nn.BatchNorm2d):  # its input is a convolution's output, where the error is measured
                module.register_full_backward_hook(self.modulate)

    def run_epoch(self, loader: DataLoader[Any], device: torch.device) -> float:
        """Train one epoch; returns its mean loss."""
        self.net.train()
        total, seen = 0.0, 0
        for images, labels in loader:
            total += self.step(images.to(device), labels.to(device)) * len(labels)
            seen += len(labels)
        return total / seen

    def step(self, images: Tensor, labels: Tensor) -> float:
        """One gradient step; returns the loss."""
        self.norm_above = None
        loss = functional.cross_entropy(self.net(images), labels)
        self.optimizer.zero_grad()
        (loss + self.strength * self.penalty()).backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return loss.item()

    def penalty(self) -> Tensor:
        """1/2 ||W^T W - I||^2 of each convolution, in groups where it has more filters than rows; L2 of the rest."""
        total = torch.zeros(())
        for module in self.net:
            if isinstance(module, nn.Conv2d):
                bank = module.weight.flatten(1)
                for filters in bank.split(bank.shape[1]):  # type: ignore[no-untyped-call]
                    residual = filters @ filters.T - torch.eye(len(filters), device=filters.device)
                    total = total + 0.5 * (residual**2).sum()
            elif isinstance(module, nn.Linear):
                total = total + 0.5 * (module.weight**2).sum()
        return total

    def modulate(self, _module: nn.Module, errors: Any, _above: Any) -> Any:
        """Scale the error so that its norm is within the band around the one above."""
        norm = errors[0].norm().item()
        scale = 1.0
        if self.norm_above is not None:
            mismatch = norm / self.norm_above
            scale = min(max(mismatch, 1.0 / self.band), self.band) / mismatch
        self.norm_above = norm * scale
        return (errors[0] * scale, *errors[1:])

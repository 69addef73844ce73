"""A network of snnTorch's neurons under Lightning's Trainer, as its documents write one:
``python lightning_train.py DATA OUT EPOCHS LR [CHECKPOINT]``. Runs without bntt."""

import sys
from pathlib import Path

import lightning
import snntorch
import torch
import torchvision
from torch.nn import functional as F


class Spiking(lightning.LightningModule):
    """784 to 10, four steps of Poisson coding, the membrane added up."""

    def __init__(self, lr: float) -> None:
        super().__init__()
        self.lr = lr
        self.linear = torch.nn.Linear(784, 10)
        self.neuron = snntorch.Leaky(beta=0.5)

    def training_step(self, batch, index):
        images, labels = batch
        membrane, total = self.neuron.init_leaky(), 0.0
        for _ in range(4):
            spikes = (torch.rand_like(images) < images).float()
            _, membrane = self.neuron(self.linear(spikes.flatten(1)), membrane)
            total = total + membrane
        loss = F.cross_entropy(total / 4, labels)
        self.log("loss", loss)
        return loss

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=self.lr)


if __name__ == "__main__":
    data, out, epochs, lr, *checkpoint = sys.argv[1:]
    lightning.seed_everything(0)
    images = torchvision.datasets.MNIST(data, train=True, transform=torchvision.transforms.ToTensor())
    loader = torch.utils.data.DataLoader(images, batch_size=64, shuffle=True, drop_last=True)
    keep = lightning.pytorch.callbacks.ModelCheckpoint(dirpath=Path(out), filename="all", save_last=True)
    trainer = lightning.Trainer(
        max_epochs=int(epochs), accelerator="cpu", callbacks=[keep], logger=False, enable_progress_bar=False
    )
    trainer.fit(Spiking(float(lr)), loader, ckpt_path=checkpoint[0] if checkpoint else None)
    print("last loss", float(trainer.callback_metrics["loss"]))

"""Optimizers, learning-rate schedules and gradient clipping, as `torch.optim` names them."""

from fastconv.optim import lr_scheduler
from fastconv.optim.clip import clip_grad_norm
from fastconv.optim.optimizer import SGD, Adam, AdamW, Optimizer, RMSprop

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "RMSprop", "clip_grad_norm", "lr_scheduler"]

"""PyTorch on the CPU after ``torch.compile``."""

from __future__ import annotations

from ..workloads import Case
from . import torch
from .contract import Bind


def build(case: Case, threads: int) -> Bind:
    return torch.build(case, threads, compile_it=True)

"""Tensors in files: a whole table where a rank's memory is meant for its part."""

import os
from pathlib import Path

import torch
from torch import Tensor


def filed(path: Path, *shape: int) -> Tensor:
    """Return float32 zeros that live in a new file: what is not in use the system keeps on disk.

    Raises OSError (ENOSPC) where there is no room for all of it.
    """
    numbers = torch.Size(shape).numel()
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, numbers * torch.float32.itemsize)  # later a full disk would kill the process
    finally:
        os.close(descriptor)
    return torch.from_file(str(path), shared=True, size=numbers, dtype=torch.float32).view(shape)

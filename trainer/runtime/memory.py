"""When memory runs out: telling that error from others, and giving back what was half computed."""

from __future__ import annotations

import gc

import torch


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the device (or the allocator of the processor) had no room left."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and ("can't allocate memory" in text or "not enough memory" in text)


def release() -> None:
    """Drop what the failed step left, so that a smaller one fits."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()

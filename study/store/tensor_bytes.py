"""Tensors in plain containers to bytes and back. Nothing else can be read, so no file makes this process run code."""

from collections.abc import Mapping
from io import BytesIO
from typing import Any

import torch


def to_bytes(content: Mapping[str, Any]) -> bytes:
    """What `torch.load(weights_only=True)` reads back: tensors, numbers, text, None, and containers of them."""
    buffer = BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def from_bytes(content: bytes) -> dict[str, Any]:
    """The content, its tensors on the CPU.

    Raises:
        ValueError: it cannot be read.
    """
    try:
        return dict(torch.load(BytesIO(content), map_location="cpu", weights_only=True))
    except MemoryError:  # which says nothing of the content
        raise
    except Exception as error:  # torch has no error of its own for this: a damaged file raises one of a dozen kinds
        raise ValueError(f"cannot be read: damaged, or no such file ({type(error).__name__})") from error

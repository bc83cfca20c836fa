"""Likeness: when are two prompts the same thing?"""

from detector.likeness.sketch import empty, sketch
from detector.likeness.wire import decode, encode

__all__ = ["decode", "empty", "encode", "sketch"]

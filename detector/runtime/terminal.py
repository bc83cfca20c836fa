"""What strangers wrote, on a terminal: account ids, names of models and sentences about them are shown, never obeyed.

An escape sequence can colour, hide or rewrite what a person reads, a line feed can forge a line, and a mark of
right-to-left writing can turn one around. Each such character is shown by its number instead.
"""

from __future__ import annotations

import re
from typing import Final

_UNSEEN: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]")


def visible(text: str) -> str:
    """Return one line of text with every character that is a command, or nothing to be seen, as an escape."""
    return _UNSEEN.sub(lambda found: ascii(found[0])[1:-1], text)

"""Which texts have nothing in them to read."""

from __future__ import annotations

import re

VISIBLE = re.compile(
    "[^"
    "\\x00-\\x20\\x7f-\\xa0\\xad\\u034f\\u0600-\\u0605\\u061c\\u06dd\\u070f\\u0890-\\u0891\\u08e2"
    "\\u115f-\\u1160\\u1680\\u17b4-\\u17b5\\u180b-\\u180f\\u2000-\\u200f\\u2028-\\u202f"
    "\\u205f-\\u206f\\u2800\\u3000\\u3164\\ufe00-\\ufe0f\\ufeff\\uffa0\\ufff0-\\ufffb"
    "\\U000110bd\\U000110cd\\U00013430-\\U0001343f\\U0001bca0-\\U0001bca3"
    "\\U0001d173-\\U0001d17a\\U000e0000-\\U000e0fff"
    "]"
)
"""Any character but those of the categories Cc, Cf, Zs, Zl and Zp, those that Unicode lets be
ignored (Default_Ignorable_Code_Point: joiners, fillers, variation selectors), and Braille's blank.
"""


def is_blank(text: str) -> bool:
    """Whether a text is empty, or nothing but white space and invisible characters."""
    return VISIBLE.search(text) is None

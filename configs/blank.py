"""Tells whether a text is blank: empty, or nothing but white space and invisible characters."""

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
"""Any character except those of the categories Cc, Cf, Zs, Zl and Zp, those with the property
Default_Ignorable_Code_Point (joiners, fillers, variation selectors), and Braille's blank.
"""


def is_blank(text: str) -> bool:
    """Whether nothing of ``text`` is visible."""
    return VISIBLE.search(text) is None

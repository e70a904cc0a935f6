"""
The labels of a message: its content type and the character set of its text.

Both come from the sender.  Character sets are looked up in a fixed table, as Python
caches every name that it is asked for.
"""

from __future__ import annotations

import re
from encodings import normalize_encoding
from encodings.aliases import aliases
from typing import Final

from .._util.shown import shown

_NAME_SIZE: Final = 40
"""Longer names are no character sets."""

_CHARSET: Final = re.compile(r';\s*charset\s*=\s*"?([^\s";]+)', re.IGNORECASE)
_PARAMETERS_SIZE: Final = 300
"""How many characters of a content type are searched for its charset."""

# from str to str or from bytes to bytes, of quadratic time, or only on Windows
_OTHER_CODECS: Final = (
    "base64_codec bz2_codec hex_codec mbcs quopri_codec rot_13 uu_codec zlib_codec"
)
_NO_CHARSETS: Final = frozenset(_OTHER_CODECS.split())
_WITHOUT_ALIASES: Final = (
    "cp1006 cp720 cp737 cp856 cp874 cp875 koi8_t koi8_u mac_arabic mac_croatian "
    "mac_farsi mac_romanian palmos utf_8_sig"
)
_CHARSETS: Final = {
    **{name: codec for name, codec in aliases.items() if codec not in _NO_CHARSETS},
    **{codec: codec for codec in aliases.values() if codec not in _NO_CHARSETS},
    **{codec: codec for codec in _WITHOUT_ALIASES.split()},
}


def charset_named(name: str) -> str:
    """
    Return the name of Python's codec for a character set.

    @raise ValueError: it is not in the table.
    """
    known = None
    if len(name) <= _NAME_SIZE and name.isascii():
        known = _CHARSETS.get(normalize_encoding(name).lower())
    if known is None:
        raise ValueError(f"unknown encoding {shown(name)}")
    return known


def is_binary(content_encoding: str) -> bool:
    """Return whether a content encoding stands for bytes that are not text."""
    return content_encoding.lower() in {"binary", "ascii-8bit"}


def base_type(content_type: str) -> str:
    """Return a media type in lower case, without its parameters."""
    return content_type.partition(";")[0].strip().lower()


def charset_of(content_type: str) -> str | None:
    """Return the parameter C{charset} of a media type, if it has one."""
    found = _CHARSET.search(content_type[:_PARAMETERS_SIZE])
    return None if found is None else found[1]

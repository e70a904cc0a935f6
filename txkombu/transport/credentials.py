"""
Whether credentials can be written at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..exceptions import AuthenticationFailed

if TYPE_CHECKING:
    from ..parameters import Parameters


def check_credentials(parameters: Parameters) -> None:
    """
    @raise AuthenticationFailed: they cannot be told to any broker.
    """
    for name in ("userid", "password", "connection_name"):
        value = getattr(parameters, name) or ""
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            # Not the cause: it would show a piece of a password.
            raise AuthenticationFailed(
                f"the {name} cannot be written as UTF-8"
            ) from None
        if name != "connection_name" and "\0" in value:
            raise AuthenticationFailed(
                f"the {name} has a zero byte, which separates the two in a login"
            )

"""Finding the transport of a URL scheme, and importing it when it first connects."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, cast

import attrs
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from zope.interface import implementer

from ..exceptions import TransportNotAvailable
from ..interfaces import IBrokerTransport, ISession, ISessionListener
from ..url.schemes import SCHEMES, Scheme, registered_schemes, scheme_named
from .errors import with_cause

if TYPE_CHECKING:
    from ..url.parameters import Parameters


def transport_for(name: str) -> IBrokerTransport:
    """
    Return the transport of a scheme; nothing of it is imported before it connects.

    @param name: the scheme, such as C{"amqp"}.
    @return: an L{IBrokerTransport}; its C{connect} fails with
        L{TransportNotAvailable<txkombu.exceptions.TransportNotAvailable>} if it cannot
        be imported.
    @raise InvalidURL: there is no such scheme.
    """
    return _Deferring(scheme_named(name))


@implementer(IBrokerTransport)
@attrs.define
class _Deferring:
    """A transport that is imported when it is first told to connect."""

    scheme: Scheme
    _loaded: IBrokerTransport | None = None

    def connect(
        self,
        parameters: Parameters,
        endpoint: IStreamClientEndpoint | None,
        clock: IReactorTime,
        listener: ISessionListener,
    ) -> Deferred[ISession]:
        try:
            if self._loaded is None:
                self._loaded = _provider(self.scheme)()
        except Exception as error:
            return fail(_not_available(self.scheme, error))
        return self._loaded.connect(parameters, endpoint, clock, listener)


def _provider(scheme: Scheme) -> Callable[[], IBrokerTransport]:
    if scheme.name in SCHEMES:
        module, _, attribute = scheme.target.partition(":")
        found = getattr(import_module(module), attribute)
    else:
        found = registered_schemes()[scheme.name].load()
    return cast("Callable[[], IBrokerTransport]", found)


def _not_available(scheme: Scheme, cause: Exception) -> TransportNotAvailable:
    reason = str(cause)
    module = scheme.target.partition(":")[0]
    if isinstance(cause, ModuleNotFoundError) and cause.name != module:
        reason += f"; pip install txkombu[{scheme.extra}]" if scheme.extra else ""
    elif isinstance(cause, ModuleNotFoundError) and scheme.name in SCHEMES:
        reason = "this version of txkombu does not have it"
    text = f"the {scheme.name} transport is not available here: {reason}"
    return with_cause(TransportNotAvailable(text), cause)

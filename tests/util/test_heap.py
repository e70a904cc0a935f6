"""What large bodies cost in page faults."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from itertools import product
from pathlib import Path
from typing import Any
from unittest import skipUnless

from twisted.trial.unittest import SynchronousTestCase

from txkombu._util import heap

_ROOT = Path(__file__).parent.parent.parent
_SIZE = 300_000
_PAGES = _SIZE // os.sysconf("SC_PAGE_SIZE")
_READ = 65_536
_WARM_UP = 20
_COUNT = 100

_RECEIVE = f"""
import resource, sys
from json import loads
from tests.util.test_heap import stream_of
from txkombu.transport.amqp.wire.content import ContentAssembler
from txkombu.transport.amqp.wire.methods import decode_method
from txkombu.transport.amqp.wire.parser import AmqpFrameParser
from txkombu.transport.stomp.wire.parser import StompFrameParser

kind, keep = sys.argv[1:]
stream = stream_of(kind)
amqp, stomp = AmqpFrameParser(), StompFrameParser()
contents = ContentAssembler(decode_method)

def receive():
    for at in range(0, len(stream), {_READ}):
        data = stream[at : at + {_READ}]
        if kind == "amqp":
            for type_, channel, payload in amqp.feed(data):
                found = contents.handle_frame(type_, payload)
                if found is not None:
                    yield loads(found.body)
        else:
            for frame in stomp.feed(data):
                yield loads(frame.body)

received = 0
for number in range({_WARM_UP} + {_COUNT}):
    if number == {_WARM_UP}:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for payload in receive():
        received += 1
        if keep == "forgotten":
            del payload
after = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
print(received, after - before)
"""


def stream_of(kind: str) -> bytes:
    """Return one message with a large body, as a broker sends it."""
    from pamqp import body, commands, frame, header

    text = json.dumps({"text": "x" * _SIZE}).encode()
    if kind == "stomp":
        return b"MESSAGE\nmessage-id:1\nsubscription:1\n\n%s\0" % text
    deliver = commands.Basic.Deliver("tag", 1, False, "", "queue")
    properties = commands.Basic.Properties("application/json")
    frames: list[Any] = [deliver, header.ContentHeader(0, len(text), properties)]
    frames += [
        body.ContentBody(text[at : at + 131_064]) for at in range(0, len(text), 131_064)
    ]
    return b"".join(frame.marshal(each, 1) for each in frames)


class FreedMemoryTests(SynchronousTestCase):
    """One large body after the other uses the same memory."""

    def test_no_memory(self) -> None:
        """Where there is no memory for it, nothing happens."""
        self.patch(heap, "_KEPT", sys.maxsize // 2)
        heap.keep_freed_memory.__wrapped__()

    @skipUnless(platform.libc_ver()[0] == "glibc", "only the GNU C library has bounds")
    def test_faults(self) -> None:
        """Receiving a large body faults in few pages, over AMQP and over STOMP."""
        for case in product(("amqp", "stomp"), ("kept", "forgotten")):
            done = subprocess.run(
                [sys.executable, "-c", _RECEIVE, *case],
                cwd=_ROOT,
                env={k: v for k, v in os.environ.items() if "MALLOC" not in k},
                capture_output=True,
                text=True,
                check=False,
            )
            self.assertEqual(done.stderr, "")
            received, faults = map(int, done.stdout.split())
            self.assertEqual(received, _WARM_UP + _COUNT)
            self.assertLess(faults / _COUNT, _PAGES / 8, case)

"""
What becomes of programs when RabbitMQ refuses something, and when it no longer does.

Each case harms running programs over all transports at once, and mends what it did.
The programs publish and consume all the time, and nobody tells them anything.
"""

from __future__ import annotations

from twisted.internet.defer import gatherResults
from twisted.internet.threads import deferToThread

from tests.brokers.recovery.refused_programs import AMQP, Refused
from tests.conformance.suite import program
from txkombu import Queue
from txkombu.exceptions import (
    AccessRefused,
    AuthenticationFailed,
    ConnectError,
    ConsumerCancelled,
    NotAllowed,
    NotFound,
    NotSentInTime,
    OutcomeUnknown,
    Unroutable,
)

_CONSUMER_TIMEOUT = "application:set_env(rabbit, consumer_timeout, {})"
_LIMIT = (
    'ok = rabbit_auth_backend_internal:set_user_limits(<<"{user}">>, '
    '<<"{{\\"{kind}\\": 0}}">>, <<"tests">>)'
)
_NO_LIMIT = (
    'rabbit_auth_backend_internal:clear_user_limits(<<"{user}">>, <<"{kind}">>, '
    '<<"tests">>)'
)


class RefusalTests(Refused):
    """What programs see, and that they go on."""

    # --- deleted --------------------------------------------------------------

    @program
    async def test_queue_of_a_consumer(self) -> None:
        """
        A consumer whose queue was deleted is told, declares the queue and consumes
        again; mandatory messages fail meanwhile.
        """
        await self.begin()
        for each in self.parties:
            await Queue(each.queue.name)(self.admin).delete()
        await self.all(lambda each: each.ended, "was told")
        await self.goes_on()
        for each in self.parties:
            self.assertIsInstance(each.ended[0], ConsumerCancelled)
            if each.scheme in AMQP:
                self.assertTrue(each.failed_with(Unroutable))
        self.check_refused(Unroutable)

    @program
    async def test_queue_of_a_publisher(self) -> None:
        """
        A publisher that names the queue in C{declare} declares it again after the
        first mandatory message that came back.
        """
        await self.begin(AMQP, declares=True, consumes=False)
        for each in self.parties:
            await Queue(each.queue.name)(self.admin).delete()
        await self.all(lambda each: each.failed_with(Unroutable), "was told")
        failed = [len(each.errors) for each in self.parties]
        await gatherResults([each.consumer.consume() for each in self.parties])
        await self.goes_on()
        self.assertEqual([len(each.errors) for each in self.parties], failed)
        self.check_refused(Unroutable)

    @program
    async def test_exchange(self) -> None:
        """
        After the first publish was refused the exchange is declared again, and so is
        the binding if the publisher names the queue.
        """
        await self.begin(AMQP, declares=True)
        for each in self.parties:
            await each.exchange(self.admin).delete()
        await self.all(lambda each: each.failed_with(NotFound), "was refused")
        await self.goes_on()
        await self.nothing_is_lost()
        self.check_refused(NotFound, Unroutable)

    @program
    async def test_user(self) -> None:
        """Without their user the programs wait; with it they go on."""
        await self.begin()
        await deferToThread(self.broker.delete_user, self.user)
        await self.are_locked_out(AuthenticationFailed)
        await self.grant()
        await self.goes_on()
        await self.nothing_is_lost()

    @program
    async def test_password(self) -> None:
        """So they do when the password was changed, and nobody told them."""
        await self.begin()
        await deferToThread(self.broker.change_password, self.user, "other")
        for each in self.parties:
            each.drop()
        await self.are_locked_out(AuthenticationFailed)
        for each in self.parties:
            await each.publishing.update_secret("other", "changed")
            await each.consuming.update_secret("other", "changed")
        await self.goes_on()
        await self.nothing_is_lost()

    @program
    async def test_virtual_host(self) -> None:
        """Without their virtual host they wait; in a new one they make all anew."""
        await self.begin()
        await deferToThread(self.broker.delete_vhost, self.vhost)
        await self.are_locked_out(AuthenticationFailed)
        await self.grant()
        await self.goes_on()

    # --- not permitted --------------------------------------------------------

    @program
    async def test_configure(self) -> None:
        """
        Programs that may not declare consume on from the queues that there are; their
        publishes are refused as long as their exchange cannot be declared.
        """
        await self.begin()
        await self.permit("", ".*", ".*")
        for each in self.parties:
            each.drop()
        await self.all(
            lambda each: each.scheme == "stomp" or each.failed_with(AccessRefused),
            "was refused",
        )
        await self.all(lambda each: each.consuming.is_consuming, "consumed")
        await self.stays_quiet()
        await self.permit(".*", ".*", ".*")
        await self.goes_on()
        await self.nothing_is_lost()

    @program
    async def test_write(self) -> None:
        """Publishes that are not permitted are refused, each with the broker's word."""
        await self.begin()
        await self.permit(".*", "", ".*")
        for each in self.parties:
            each.drop()
        await self.all(lambda each: each.failed_with(AccessRefused), "was refused")
        await self.stays_quiet()
        await self.permit(".*", ".*", ".*")
        await self.goes_on()
        await self.nothing_is_lost()

    @program
    async def test_read(self) -> None:
        """A consumer that may not read tries again, and says why it does not run."""
        await self.begin()
        await self.permit(".*", ".*", "")
        for each in self.parties:
            each.drop()
        await self.all(
            lambda each: isinstance(each.consumer.channel.last_error, AccessRefused),
            "was refused",
        )
        await self.stays_quiet()
        for each in self.parties:
            self.assertFalse(each.consuming.is_consuming)
        await self.permit(".*", ".*", ".*")
        await self.goes_on()
        await self.nothing_is_lost()

    # --- otherwise than before ------------------------------------------------

    @program
    async def test_redeclared(self) -> None:
        """
        From a queue that somebody else made otherwise, programs consume as it is; when
        it is deleted they make their own.
        """
        await self.begin(AMQP)
        for each in self.parties:
            await Queue(each.queue.name)(self.admin).delete()
            other = {"x-max-length": 1000}
            queue = Queue(each.queue.name, each.exchange, "key", queue_arguments=other)
            await queue(self.admin).declare()
            each.drop()
        await self.goes_on()
        for each in self.parties:
            each.confirmed.clear()  # what was between the queues is nowhere
            each.ended.clear()
        await self.stays_quiet()
        await self.nothing_is_lost()
        for each in self.parties:
            await Queue(each.queue.name)(self.admin).delete()
        await self.all(lambda each: each.ended, "was told")
        await self.goes_on()
        for each in self.parties:
            await each.queue(self.admin).declare()

    @program
    async def test_limits(self) -> None:
        """Beyond a limit of channels, and then of connections, they wait for room."""
        await self.begin()
        await self.limit("max-channels")
        for each in self.parties:
            each.drop()
        await self.are_locked_out(NotAllowed, ConnectError)
        await self.limit("max-connections")
        await self.are_locked_out(ConnectError)
        for kind in ("max-channels", "max-connections"):
            code = _NO_LIMIT.format(user=self.user, kind=kind)
            await deferToThread(self.broker.evaluate, code)
        await self.goes_on()
        await self.nothing_is_lost()

    async def limit(self, kind: str) -> None:
        """Let the user have none of this kind."""
        code = _LIMIT.format(user=self.user, kind=kind)
        await deferToThread(self.broker.evaluate, code)

    # --- too much -------------------------------------------------------------

    @program
    async def test_memory_alarm(self) -> None:
        """
        While the broker has no memory publishes wait, or fail at their deadline, and
        consumers go on; over STOMP it does not say so.
        """
        await self.begin()
        allow = self.broker.allow_memory
        self.addCleanup(deferToThread, allow, 0.4)
        await deferToThread(allow, 0.00001)
        await self.all(lambda each: len(each.errors) > 2, "failed")
        await self.stays_quiet()
        for each in self.parties:
            self.assertTrue(each.consuming.is_consuming)
            unknown = each.failed_with(OutcomeUnknown)
            if each.scheme in AMQP:
                self.assertEqual(each.publishing.blocked_reason, "low on memory")
                self.assertLess(len(unknown), len(each.failed_with(NotSentInTime)))
            else:
                self.assertEqual(len(unknown), len(each.errors))
        await deferToThread(allow, 0.4)
        await self.goes_on()
        await self.nothing_is_lost()

    @program
    async def test_consumer_timeout(self) -> None:
        """
        A consumer that is too slow for the broker loses its channel, or is ended, and
        gets its messages again; when its handler is fast again all is well.
        """
        evaluate = self.broker.evaluate
        usual = _CONSUMER_TIMEOUT.format(1_800_000)
        self.addCleanup(deferToThread, evaluate, usual)
        await deferToThread(evaluate, _CONSUMER_TIMEOUT.format(500))
        await self.begin()
        for each in self.parties:
            each.seconds = 2.0
        await self.all(lambda each: each.again, "got messages again")
        await self.stays_quiet()
        for each in self.parties:
            each.seconds = 0.0
        await self.goes_on()
        await self.nothing_is_lost()

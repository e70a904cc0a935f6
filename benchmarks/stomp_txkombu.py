"""
txkombu on STOMP, through its public API, with JSON or with bodies of bytes.
"""

from __future__ import annotations

from twisted.internet.task import react

from benchmarks.amqp_txkombu import MODES
from benchmarks.job import HOST, USER, Job
from txkombu import BrokerConnection


async def main(reactor: object) -> None:
    """Do the job on the command line."""
    job = Job.from_command_line()
    job = job._replace(queue=job.queue.rpartition("/")[2])
    connection = BrokerConnection(f"stomp://{USER}:{USER}@{HOST}:{job.port}")
    await MODES[job.mode](job, await connection.channel())
    await connection.close()


if __name__ == "__main__":
    react(main)

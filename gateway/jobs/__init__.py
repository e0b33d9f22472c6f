"""Durable jobs behind a small port: enqueue in the caller's transaction, later, cancel, recover, health.

A job is a name and a few ids; what it does is read from the store when it runs. Jobs last seconds and
may run twice: a handler finds its own earlier work and stops. The room refuses to know cases; only the
sweep reads due rows. `port.Jobs` is the contract, `dbos_adapter.DbosJobs` the engine, `memory.MemoryJobs`
the one for tests.
"""

from gateway.jobs.memory import MemoryJobs
from gateway.jobs.port import Handler, Jobs, JobsHealth, QueueLimits
from gateway.jobs.sweep import Sweep, Wake

__all__ = ["Handler", "Jobs", "JobsHealth", "MemoryJobs", "QueueLimits", "Sweep", "Wake"]

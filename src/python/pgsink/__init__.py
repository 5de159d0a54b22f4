"""Write rows into PostgreSQL: frames, tables, streams of batches, by binary COPY.

>>> import pgsink
>>> report = pgsink.write(frame, "postgresql://user@host/database", "events")
>>> with pgsink.Sink(url, "events", delivery="exactly_once", sink_id="load-7") as sink:
...     for number, batch in enumerate(batches, start=1):
...         sink.write(batch, position=number)

``job`` and ``part`` make one atomic write of the work of many processes.
``write`` loads something as a whole. ``Sink`` takes batches one by one and knows their positions.
``test`` and ``describe`` look at the server, ``options`` lists all options.
"""

from ._errors import (
    ConnectError,
    Error,
    FencedError,
    InternalError,
    InterruptedError,
    OptionError,
    OutcomeError,
    RejectedError,
    ServerError,
    TargetError,
    UsageError,
)
from ._job import Job, JobReport, Part, job, part, resume
from ._library import lib as _lib
from ._options import from_environment
from ._progress import Progress
from ._sink import Column, Recovered, Sink, describe, options, test
from ._write import Report, write

__version__: str = _lib.version().decode()

__all__ = [
    "Column",
    "ConnectError",
    "Error",
    "FencedError",
    "InternalError",
    "InterruptedError",
    "Job",
    "JobReport",
    "OptionError",
    "OutcomeError",
    "Part",
    "Progress",
    "Recovered",
    "RejectedError",
    "Report",
    "ServerError",
    "Sink",
    "TargetError",
    "UsageError",
    "describe",
    "from_environment",
    "job",
    "options",
    "part",
    "resume",
    "test",
    "write",
]

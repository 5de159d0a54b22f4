"""``df.write.format("pgsink")``: a Spark write is one job, atomic, in every write mode.

So is each micro-batch of ``df.writeStream.format("pgsink")``, which is written exactly once. Spark
finds this package by its name; nothing has to be registered. It needs PySpark 4.3.
"""

from __future__ import annotations

from pyspark.sql.datasource import (
    DataSource,
    DataSourceArrowWriter,
    DataSourceStreamArrowWriter,
)
from pyspark.sql.types import StructType

from ._writers import BatchWriter, StreamWriter

__all__ = ["DefaultSource"]


class DefaultSource(DataSource):
    """The data source with the name ``pgsink``."""

    @classmethod
    def name(cls) -> str:
        """Return what ``format()`` is given."""
        return "pgsink"

    def writer(self, schema: StructType, overwrite: bool) -> DataSourceArrowWriter:
        """Open the job. ``overwrite`` replaces the rows of the table."""
        return BatchWriter(self.options, schema, overwrite)

    def streamWriter(self, schema: StructType, overwrite: bool) -> DataSourceStreamArrowWriter:
        """Open nothing yet: Spark calls this for the tasks of a batch and for its commit.

        ``overwrite`` (output mode ``complete``) replaces the rows of the table with each batch.
        """
        return StreamWriter(self.options, schema, overwrite)

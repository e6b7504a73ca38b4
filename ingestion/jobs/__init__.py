"""The Spark jobs of an ingest: transforms are DataFrame in, DataFrame out; a job reads, calls, writes."""

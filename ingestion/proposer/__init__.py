"""Proposes a mapping for a table that nobody has described: from its column names and a sample of its rows."""

"""Retrieval: entity index, similar parties, evidence, checked narrative, investigation."""

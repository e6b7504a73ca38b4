"""A deterministic simulator of a bank's transactions with planted fraud: same config, same bytes.

Begin at `simulate.py`. Who exists: `population.py`, `identities.py`, `access.py`. What honest people do:
`habits.py`, `everyday.py`, `schedules.py`, `coincidences.py`, `followups.py`. What fraudsters do: `typologies/`.
What the bank comes to know: `labels.py`.
"""

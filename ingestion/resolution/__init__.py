"""Entity resolution: identifiers that entities share link them, by rules, dated, explained and reversible."""

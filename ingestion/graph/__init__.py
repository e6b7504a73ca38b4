"""The graph store: one Protocol, a Neo4j server behind it, and the snapshot as a second, independent reader."""

"""From a transaction table to a versioned snapshot and its graph: contracts, quality, features, stores."""

"""OpenSearch 2.x and 3.x as a store: content behind an alias, state and lease in one document."""

"""`status`: the stored content and state, as a table, as JSON and for monitoring."""

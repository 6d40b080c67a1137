"""`history`: past passes, as a table, as JSON and as a page."""

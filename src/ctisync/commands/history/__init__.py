"""`history`: the passes of the past, as a table, as JSON and as a page."""

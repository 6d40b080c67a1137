"""docs/performance.md: its figures are kept in docs/performance.json, and nobody copies one by hand."""

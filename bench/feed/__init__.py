"""The made-up feed of the benches: the same bytes for the same numbers, in the real feed's sizes."""

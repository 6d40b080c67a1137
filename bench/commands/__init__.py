"""One module a bench: `measure(workshop)` runs it and returns what it found."""

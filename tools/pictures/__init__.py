"""The pictures of README.md and docs/, made of what the program does (`make pictures`)."""

"""How fast and how small ctisync is, next to what it is compared with: `python -m bench --help`."""

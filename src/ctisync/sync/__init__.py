"""The steps of a pass, one per module. They use only the ports and `core`."""

"""`config`: the settings. None of its commands connects to a feed or a store."""

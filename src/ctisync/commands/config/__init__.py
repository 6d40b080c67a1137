"""`config`: the settings themselves. None of its commands asks a feed or a store."""

"""The other end of a feed: what this host followed, made for others to follow."""

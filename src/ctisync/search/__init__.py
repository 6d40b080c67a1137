"""Search the content: an index beside it, which is derived from it and made anew whenever that is simpler."""

"""`ctisync demo`: a built-in feed on an HTTP server of this host, and the usual commands against it."""

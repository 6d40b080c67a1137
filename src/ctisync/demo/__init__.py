"""`ctisync demo`: a made-up feed on a real server, and the user's own commands against it."""

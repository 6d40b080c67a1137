"""`ctisync verify`: what is stored, held against the rules and against a snapshot."""

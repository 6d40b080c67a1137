"""`ctisync verify`: compares the store with the rules and with a snapshot."""

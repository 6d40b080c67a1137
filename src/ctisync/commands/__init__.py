"""What each subcommand does, from settings to an exit code. The command line's own words are in `cli`."""

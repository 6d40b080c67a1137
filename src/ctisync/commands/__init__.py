"""What each subcommand does, from settings to an exit code. Options and their help are in `cli`."""

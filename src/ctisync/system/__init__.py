"""The operating system: files and folders, locks, signals, streams, threads, memory, the clock."""

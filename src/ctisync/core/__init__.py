"""The rules of a pass: pure functions on frozen values, without I/O, clock or logging."""

"""The shell of a pass: one step a module, on ports and core alone."""

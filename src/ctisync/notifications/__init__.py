"""What follows a pass: history, metrics, hooks and ping, from its report."""

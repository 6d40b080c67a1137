"""What follows a pass: metrics, hooks and a ping, from its report."""

"""What follows a pass, made of its report: history, metrics, hooks and a ping."""

"""Where content and state are kept: one module a store, each as `ctisync.ports.Store` says."""

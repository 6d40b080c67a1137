"""The stores for content and state: one package each, as `ctisync.ports.Store` says."""

"""The order of writes on OpenSearch as a model that can be searched: several writers, every interleaving.

A step is one request, or a few that nobody can come between; it bears the name of what
`ctisync.stores.opensearch.fencing` (take_over, swap, drop_strays, let_go) and `writer` (load,
publish, apply) do there. A writer may be killed before any step, and his lease may expire at any moment, so
the next one may take over whenever it likes; how a clock is read is no matter of the order.

Not modelled: changes that cannot be applied, programs that are not ctisync, and a request that was under way
when its fence was removed.

`model`: what is on the server and what a writer knows. `steps`: what a writer does next. `search`: what must
hold, and every interleaving.
"""

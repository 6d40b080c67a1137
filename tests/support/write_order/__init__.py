"""The order of writes on OpenSearch as a model that can be searched: several writers, every interleaving.

A step is one request, or several between which no other writer can act; it has the name of what
`ctisync.stores.opensearch.fencing` (take_over, swap, drop_strays, let_go) and `writer` (load,
publish, apply) do there. A writer may be killed before any step, and its lease may expire at any time, so
the next one may take over at any time; clocks are not part of the model.

Not modelled: changes that cannot be applied, other programs, and a request that was being sent when its fence
was removed.

`model`: the server and what a writer knows. `steps`: the next step of a writer. `search`: what must hold, and
all interleavings.
"""

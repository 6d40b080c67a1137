"""What ctisync is compared with, on the same data and the same store.

The floors and the raw updates send what was made before the clock started: no client can be faster. The
helpers are opensearch-py's, as its documentation shows them, in a process of their own. elasticdump is left
out: it needs Node.js, which these benches would have to bring along.
"""

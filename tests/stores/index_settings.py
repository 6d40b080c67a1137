"""Every setting that an index can have on the nodes of the tests: what a template may set, and why it may.

Names are without `index.`. A node does not list groups of settings that take any name, so they are not here:
`routing.allocation.require.*` and its like say where shards lie, as their operator wants it; `analysis.*` and
`similarity.*` are of text that is searched, and ours is not.
"""

from __future__ import annotations

from typing import Final

PINNED_AGAINST: Final[dict[str, object]] = {
    "translog.durability": "async",
    "gc_deletes": "0s",
    "write.wait_for_active_shards": "2",
    "default_pipeline": "nowhere",
    "final_pipeline": "nowhere",
    "search.default_pipeline": "nowhere",
    "mapping.ignore_malformed": True,
    "append_only.enabled": True,
    "mapping.total_fields.limit": 1,
    "mapping.depth.limit": 1,
    "mapping.field_name_length.limit": 1,
    "query.max_nested_depth": 1,
    "max_result_window": 1,
    "routing.allocation.enable": "none",
    "auto_expand_replicas": "0-all",
    "blocks.write": True,
    "blocks.read": True,
    "blocks.read_only": True,
    "blocks.read_only_allow_delete": True,
    "blocks.metadata": True,
}
"""The worst value of each that ctisync pins."""

OURS: Final[dict[str, object]] = {"number_of_replicas": 3, "number_of_shards": 5}
"""What `store.*` says of an index that ctisync makes."""

MAY_BE_SET: Final[dict[str, dict[str, object]]] = {
    "of a search that ctisync does not send": {
        "analyze.max_token_count": 1,
        "highlight.max_analyzed_offset": 1,
        "mapping.nested_fields.limit": 1,
        "mapping.nested_objects.limit": 1,
        "max_adjacency_matrix_filters": 2,
        "max_docvalue_fields_search": 1,
        "max_inner_result_window": 1,
        "max_ngram_diff": 0,
        "max_regex_length": 1,
        "max_rescore_window": 1,
        "max_script_fields": 1,
        "max_shingle_diff": 1,
        "max_slices_per_pit": 1,
        "max_slices_per_scroll": 1,
        "max_terms_count": 1,
        "query.default_field": "nothing",
        "query.derived_field.enabled": False,
        "search.star_tree_index.enabled": False,
    },
    "of how fast a search is answered, not of what": {
        "optimize_doc_id_lookup.fuzzy_set.enabled": True,
        "optimize_doc_id_lookup.fuzzy_set.false_positive_probability": 0.5,
        "requests.cache.enable": False,
        "search.concurrent.max_slice_count": 2,
        "search.concurrent_segment_search.enabled": True,
        "warmer.enabled": False,
    },
    "ctisync refreshes before it counts and before it tells of new content, and sets the interval itself": {
        "max_refresh_listeners": 0,
        "refresh_interval": "1h",
        "search.idle.after": "0s",
    },
    "of when the translog is cut and segments are merged: what is confirmed is in either": {
        "auto_force_merge.enabled": False,
        "compound_format": True,
        "flush_after_merge": "0b",
        "merge.log_byte_size_policy.max_merge_segment": "1b",
        "merge.log_byte_size_policy.max_merge_segment_forced_merge": "1b",
        "merge.log_byte_size_policy.max_merged_docs": 1,
        "merge.log_byte_size_policy.merge_factor": 2,
        "merge.log_byte_size_policy.min_merge": "1b",
        "merge.log_byte_size_policy.no_cfs_ratio": True,
        "merge.policy.deletes_pct_allowed": 50,
        "merge.policy.expunge_deletes_allowed": 1,
        "merge.policy.floor_segment": "100b",
        "merge.policy.max_merge_at_once": 2,
        "merge.policy.max_merged_segment": "1b",
        "merge.policy.reclaim_deletes_weight": 1,
        "merge.policy.segments_per_tier": 2,
        "merge.scheduler.auto_throttle": False,
        "merge.scheduler.max_merge_count": 7,
        "merge.scheduler.max_thread_count": 2,
        "merge_on_flush.enabled": False,
        "merge_on_flush.max_full_flush_merge_wait_time": "1ms",
        "translog.flush_threshold_size": "100b",
        "translog.generation_threshold_size": "100b",
        "translog.retention.age": "0s",
        "translog.retention.size": "0b",
        "translog.sync_interval": "1h",
        "unreferenced_file_cleanup.enabled": False,
    },
    "of how a copy that was away catches up; whatever it has missed, it gets": {
        "allocation.max_retries": 1,
        "priority": 0,
        "remote_store.translog.buffer_interval": "0ms",
        "remote_store.translog.keep_extra_gen": 1,
        "routing.allocation.total_shards_per_node": 1,
        "routing.rebalance.enable": "none",
        "soft_deletes.retention.operations": 1,
        "soft_deletes.retention_lease.period": "0s",
        "unassigned.node_left.delayed_timeout": "0s",
    },
    "of names with `*`, and ctisync asks for hidden ones as well": {"hidden": True},
    "of what a node logs": {
        "indexing.slowlog.level": "DEBUG",
        "indexing.slowlog.reformat": False,
        "indexing.slowlog.source": True,
        **{
            f"{log}.{level}": "0ms"
            for log in (
                "indexing.slowlog.threshold.index",
                "search.slowlog.threshold.fetch",
                "search.slowlog.threshold.query",
            )
            for level in ("debug", "info", "trace", "warn")
        },
        "search.slowlog.level": "DEBUG",
    },
}
"""By the reason why it does no harm: a hostile value of each."""

NO_TEMPLATES: Final[dict[str, set[str]]] = {
    "a node's own, which a template may not set, or not on an index like ours": {
        "allocation.existing_shards_allocator",
        "auto_expand_search_replicas",
        "context.created_version",
        "context.current_version",
        "creation_date",
        "data_path",
        "history.uuid",
        "mapper.dynamic",
        "number_of_search_replicas",
        "provided_name",
        "remote_store.enabled",
        "remote_store.segment.repository",
        "remote_store.translog.repository",
        "routing.allocation.total_primary_shards_per_node",
        "search.throttled",
        "segment_replication.publish_referenced_segments_interval",
        "soft_deletes.enabled",
        "uuid",
        "verified_before_close",
        "version.created",
    },
    "of how files lie on the disk; it is settled when the index is made": {
        "check_pending_flush.enabled",
        "codec",
        "codec.compression_level",
        "fielddata.cache",
        "force_memory_term_dictionary",
        "format",
        "load_fixed_bitset_filters_eagerly",
        "merge.policy",
        "merge_on_flush.policy",
        "optimize_auto_generated_id",
        "queries.cache.enabled",
        "shard.check_on_startup",
        "store.factory",
        "store.fs.fs_lock",
        "store.hybrid.mmap.extensions",
        "store.hybrid.nio.extensions",
        "store.preload",
        "store.stats_refresh_interval",
        "store.type",
        "use_compound_file",
    },
    "of how a query's text or a number's text is read, and ctisync sends neither": {
        "mapping.coerce",
        "query.parse.allow_unmapped_fields",
        "query_string.lenient",
    },
    "it makes another kind of index, in which a load fails and the old content stays": {
        "composite_index",
        "composite_index.star_tree.default.max_leaf_docs",
        "composite_index.star_tree.field.default.date_intervals",
        "composite_index.star_tree.field.default.metrics",
        "composite_index.star_tree.field.max_base_metrics",
        "composite_index.star_tree.field.max_date_intervals",
        "composite_index.star_tree.field.max_dimensions",
        "composite_index.star_tree.max_fields",
        "composite_store.type",
        "blocks.search_only",
        "derived_source.enabled",
        "derived_source.translog.enabled",
        "ingestion_source.all_active",
        "ingestion_source.error_strategy",
        "ingestion_source.internal_queue_size",
        "ingestion_source.num_processor_threads",
        "ingestion_source.pointer.init.reset",
        "ingestion_source.pointer.init.reset.value",
        "ingestion_source.poll.max_batch_size",
        "ingestion_source.poll.timeout",
        "ingestion_source.type",
        "number_of_routing_shards",
        "recovery.type",
        "replication.type",
        "routing_partition_size",
        "searchable_snapshot.index.id",
        "searchable_snapshot.repository",
        "searchable_snapshot.shard_path_type",
        "searchable_snapshot.snapshot_id.name",
        "searchable_snapshot.snapshot_id.uuid",
        "sort.field",
        "sort.missing",
        "sort.mode",
        "sort.order",
    },
    "it needs a mode of its value's own kind, and is of how fast a search is answered": {
        "search.concurrent_segment_search.mode",
    },
}
"""By the reason why the hostile template has none of them."""

HOSTILE: Final[dict[str, object]] = {
    **PINNED_AGAINST,
    **OURS,
    **{name: value for group in MAY_BE_SET.values() for name, value in group.items()},
}
CLASSIFIED: Final = HOSTILE.keys() | {name for group in NO_TEMPLATES.values() for name in group}

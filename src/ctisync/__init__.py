"""ctisync keeps a local copy of Wazuh's CTI vulnerability feed in step, on SQLite or OpenSearch."""

# The next release. A build writes its own version here: tools/build_version.py.
__version__ = "0.2.0.dev0+sources"

"""ctisync keeps a local copy of Wazuh's CTI vulnerability feed in step, on SQLite or OpenSearch."""

__version__ = "0.1.0"

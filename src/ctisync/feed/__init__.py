"""The CTI API: requests, the download of snapshots, and the way from an archive to records."""

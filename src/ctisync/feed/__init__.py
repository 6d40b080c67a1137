"""The CTI API: how it is asked, how a snapshot is downloaded, how an archive becomes records."""

"""Requests to the CTI API: retries, deadlines, limits, and where a URL may lead."""

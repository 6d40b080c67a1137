"""What people who work on ctisync run by hand; no part of the package."""

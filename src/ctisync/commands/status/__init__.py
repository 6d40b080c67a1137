"""`status`: what is stored, for people, for programs and for monitoring."""

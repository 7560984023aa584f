"""What an analysis is, from upload to outcome; the ports it needs.  Knows nothing of HTTP, files or Redis."""

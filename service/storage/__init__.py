"""Arrays and reports on disk, and the queue in Redis: what the analyses need of the outside world."""

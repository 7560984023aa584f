"""The queue worker: takes analyses from the queue and runs each one in a child process of its own."""

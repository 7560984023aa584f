"""HTTP in, JSON out: thin routes, one table from errors to problems.  Starts no computation."""

"""The client, as it is written: asynchronous.  `make client-sync` translates all but `runtime` into `blocking`."""

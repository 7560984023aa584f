"""The client without async: translated from `asynchronous` by `make client-sync`, all but `runtime`."""

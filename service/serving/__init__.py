"""`phasegate serve`: the embedded server, the API and the workers as one tree of processes."""

"""Who may do what: keys, scopes, callers, and what a browser may be made to do.  Knows no web framework."""

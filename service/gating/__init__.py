"""May this run start?  Policies and decisions: pure functions of a report and a policy."""

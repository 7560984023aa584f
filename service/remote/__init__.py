"""What the command line does with a running service: submit, wait, report, list, cancel."""

"""The wire models, shared by API and client.

Outputs have no defaults: every field is always there, null when it does not apply.
"""

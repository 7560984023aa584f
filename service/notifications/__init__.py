"""Tells others that an analysis has ended: signed webhooks."""

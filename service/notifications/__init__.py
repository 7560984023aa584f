"""Tells others that an analysis has ended or a decision was made: signed webhooks."""

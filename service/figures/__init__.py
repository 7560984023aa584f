"""Draws a report."""

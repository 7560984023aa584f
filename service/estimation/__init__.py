"""The numerical core: from paired features and labels to a report.  Knows nothing of the service around it.

Start at `estimate.estimate`; `reference` holds the published procedure.
"""

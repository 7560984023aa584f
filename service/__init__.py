"""Phasegate: pre-training triage for multimodal data.

cli            phasegate serve | demo | check | api | worker | openapi, gate | diff, and submit | report | list | cancel
in_process     what gate does without a service
remote         what the others do with a running service
serving        one supervised process tree: embedded server, API, workers
api            HTTP in, JSON out; computes closed forms and small simulations, nothing else
worker         takes analyses from the queue, one process each
client         typed HTTP client
wiring         puts the parts together from settings
storage        files that are the truth; a queue in Redis that can be rebuilt from them
analyses       datasets, label sets and analyses: intake, submission, execution, lifecycle
gating         may this run start? policies and decisions, pure functions of a report
estimation     the numerical core: start at estimation/estimate.py
notifications  signed webhooks
figures        draws a report, a verdict, a difference
"""

__version__ = "0.1.0"

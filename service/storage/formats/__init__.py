"""The formats in which arrays and tables arrive, and what is made of them: one .npy file, or one table as CSV.

`recognition` says by the first bytes what a file is; `reading` has it converted by a child process of its own
(`__main__`), bounded in memory, time and disk, so that no file can bring down the process that received it.
Nothing is ever unpickled.
"""

"""The claims ledger: what the paper asserts, and the verdicts of records and of counting.

ledger     the claims of data/paper/claims.yaml, judged
verdict    what a check answers
speed, size, memory, accuracy, tables, figures, printed    the checks, by subject
"""

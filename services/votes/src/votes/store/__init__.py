"""All SQL and all Redis of this service. A state change and its outbox rows are one transaction.

``ballots`` writes votes and reads where a voter stands; ``writer`` commits requests together that arrive together;
``log`` folds events into logs and tallies; ``quarantine`` holds, releases and voids; ``tools`` knows what may be voted
on; ``admission`` counts in Redis; ``secrets`` keeps keys and daily salts.
"""

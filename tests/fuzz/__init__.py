"""Fuzzing: any bytes, given to whatever reads something from outside; each target has an oracle.

`make fuzz` searches, by coverage, for as long as one likes (`__main__`); `test_corpus.py` plays what was
found, in seconds, with every run of the tests. What a target is, says `target.py`; `on_*.py` have them.
"""

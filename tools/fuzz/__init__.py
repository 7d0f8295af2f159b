"""Damaged input for every reader: valid files, changed where their structure says. `python -m tools.fuzz --help`."""

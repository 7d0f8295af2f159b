"""Fuzzing of the readers: valid files, mutated with their structure in mind, must be read or refused in one line."""

"""The command line: one file a command, which names flags; everything below it names arguments."""

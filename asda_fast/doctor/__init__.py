"""What this machine has, what is missing and how to get it. Nothing here imports what it asks about: that may crash."""

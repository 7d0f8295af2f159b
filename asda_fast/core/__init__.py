"""The ground floor: what every other folder stands on. Nothing here imports the rest of the package."""

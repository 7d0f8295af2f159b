"""A run as one page: its curves, its sheets, where its parts lie, who is worst, what it was made with."""

"""Pictures: drawing, contact sheets, the gallery."""

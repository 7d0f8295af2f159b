"""Body parts: label maps -> patches -> a pool that training pastes from. `python -m asda_fast.parts --help`."""

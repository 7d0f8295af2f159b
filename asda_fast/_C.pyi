# The C++ module: raw addresses in, checked by its callers.
from typing import Any

def __getattr__(name: str) -> Any: ...

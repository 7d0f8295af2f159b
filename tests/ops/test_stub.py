"""asda_fast/_C.pyi says what the compiled module has: the same functions, as many arguments, what they return."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import asda_fast
from asda_fast import _C


def test_the_stub_is_the_module():
    stub = ast.parse((Path(asda_fast.__file__).parent / "_C.pyi").read_text())
    typed = {
        node.name: (len(node.args.posonlyargs) + len(node.args.args), ast.unparse(node.returns))
        for node in stub.body
        if isinstance(node, ast.FunctionDef) and node.returns
    }
    found = {}
    for name, function in inspect.getmembers(_C, inspect.isroutine):
        head = (function.__doc__ or "").splitlines()[0]  # pybind11's: name(arg0: type, ..) -> type
        signature = re.sub(r"\[[^\]]*\]", "", re.sub(r"\[[^\[\]]*\]", "", head.rsplit(" -> ")[0]))
        found[name] = (len(re.findall(r"\w+: ", signature)), head.rsplit(" -> ")[1])
    assert found == typed

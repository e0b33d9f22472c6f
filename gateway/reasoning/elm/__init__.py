"""CQL as payers ship it: ELM JSON, run over a frozen record.

    libraries = LibrarySet([load_library(body) for body in bodies])
    engine = Engine(libraries, value_sets, record, now=instant, parameters={"order": order})
    engine.evaluate("Conservative Care Complete")   -> DefineResult(value, error, sources, library)

Nothing is ever `eval`ed: a library is read once into closures (`compiler`), shared by digest, and run within a
budget (`state.Budget`). What is not known — an operator, a type, a value set, an include — fails the define that
needs it and no other.
"""

from gateway.reasoning.elm.defines import ElmDefines
from gateway.reasoning.elm.engine import Engine
from gateway.reasoning.elm.library import CompiledLibrary, LibrarySet, compile_library, load_library
from gateway.reasoning.elm.state import Budget
from gateway.reasoning.elm.trace import Explanation

__all__ = [
    "Budget",
    "CompiledLibrary",
    "ElmDefines",
    "Engine",
    "Explanation",
    "LibrarySet",
    "compile_library",
    "load_library",
]

"""The primer: a generated set of small Python problems that a tiny model can learn on a CPU."""

from problems.primer.generate import PrimerSet, generate

__all__ = ["PrimerSet", "generate"]

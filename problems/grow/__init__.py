"""More tests for a problem: inputs like those of its tests, and which of its solutions may say what the answers are.

Pure functions: nothing is run here. Running the solutions is `rltf problems grow`'s part.
"""

from problems.grow.asserts import assert_test
from problems.grow.propose import Proposal, Proposed, propose
from problems.grow.references import distinct

__all__ = ["Proposal", "Proposed", "assert_test", "distinct", "propose"]

"""`python -m rltf`: the command line of the tree that one is in, as `ray job submit` runs it."""

from rltf.cli import main

main(prog_name="rltf")

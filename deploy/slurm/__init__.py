"""A run over a Slurm allocation: docs/slurm.md."""

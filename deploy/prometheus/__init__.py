"""A Prometheus over a folder of runs: what it is started with, and questions to it."""

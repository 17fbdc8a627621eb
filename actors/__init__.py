"""Samplers: problems → programs."""

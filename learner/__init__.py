"""Labelled groups → new weights."""

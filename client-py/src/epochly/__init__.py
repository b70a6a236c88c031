"""Epochly."""

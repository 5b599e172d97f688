"""Tests of the provider sandbox, each against a real process."""

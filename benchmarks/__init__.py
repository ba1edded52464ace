"""Measurements of the server. No part of the tests: nothing here decides whether a change may land."""

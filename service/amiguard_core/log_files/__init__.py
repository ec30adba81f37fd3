"""Reads log files in every form that people have them in, as a stream and within bounds.

It needs the standard library alone, so that client library and server read by the same code.
"""

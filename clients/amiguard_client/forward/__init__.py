"""Forwarders: log files and records from where AWS or others put them, handed to the server.

A `Forwarder` runs one source (`SqsSource`, `DirectorySource`, `LineSource`) over a client. What it
took is given back unless the server acknowledged it, so that nothing is lost however it ends;
what is forwarded twice counts once. boto3 is imported by what needs it, when it needs it.
"""

from __future__ import annotations

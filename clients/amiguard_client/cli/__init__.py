"""The command line `amiguardctl`: the client library and the rule, for people and scripts."""

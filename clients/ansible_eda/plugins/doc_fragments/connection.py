"""How every module of the collection is told to reach the server."""


class ModuleDocFragment:
    """The options that the modules share."""

    DOCUMENTATION = r"""
options:
  server:
    description: HOST:PORT of the amiguard server. E(AMIGUARD_SERVER) if absent.
    type: str
    required: true
  ca:
    description:
      - File of PEM certificates to check the server's certificate against. E(AMIGUARD_CA) if
        absent, and those of the system if that is not set.
    type: path
  token:
    description: Bearer token. E(AMIGUARD_TOKEN) if absent.
    type: str
  token_file:
    description: File with the bearer token.
    type: path
  insecure:
    description: Plain text; for a server on a loopback address alone.
    type: bool
    default: false
  timeout:
    description: Seconds after which a call that has no answer fails.
    type: int
    default: 30
requirements:
  - The Python package C(amiguard) for the Python that runs the module.
"""

"""The one source of chance: everything drawn from one seed is the same on every machine."""

from random import Random
from string import ascii_letters, digits
from uuid import UUID

_ALPHANUMERIC = ascii_letters + digits
_UPPERCASE_KEY = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"


class Draws(Random):
    """Reproducible draws in the shapes AWS gives its names."""

    def hexadecimal(self, length: int) -> str:
        """Returns `length` lower-case hexadecimal digits."""
        return f"{self.getrandbits(4 * length):0{length}x}"

    def uuid(self) -> str:
        """Returns a random (version 4) UUID, the form of event and request ids."""
        return str(UUID(int=self.getrandbits(128), version=4))

    def resource_id(self, prefix: str) -> str:
        """Returns an EC2 resource id such as `ami-0123456789abcdef0`."""
        return f"{prefix}-0{self.hexadecimal(16)}"

    def token(self, length: int) -> str:
        """Returns `length` letters and digits, as in the last part of a log file's name."""
        return "".join(self.choices(_ALPHANUMERIC, k=length))

    def unique_id(self, prefix: str) -> str:
        """Returns an IAM unique id of 21 characters, such as the `AROA...` of a role."""
        return prefix + "".join(self.choices(_UPPERCASE_KEY, k=21 - len(prefix)))

"""The detection rule of amiguard, as pure functions over values."""

"""Version 1 of the wire contract; its modules are generated from the `.proto` files beside it."""

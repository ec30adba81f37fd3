"""Everything that is SQL: tables, engines, and one function a statement."""

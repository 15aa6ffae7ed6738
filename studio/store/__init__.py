"""The workspace database: tables, verbs, migrations. No Qt, no torch."""

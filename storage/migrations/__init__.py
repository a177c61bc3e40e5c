"""The history of the tables: one numbered file a change, run by `storage.migrate`."""

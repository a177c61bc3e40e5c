"""The machines that servers run on: one contract (`base`), one folder's worth of modules per kind of host."""

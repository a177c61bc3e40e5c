"""The machines that servers run on: one contract (`base`), its refusals (`errors`), and a folder for each kind."""

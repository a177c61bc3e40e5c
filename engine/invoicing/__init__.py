"""Invoices as arithmetic: events and prices in, days and lines out. Pure, like all of `engine`."""

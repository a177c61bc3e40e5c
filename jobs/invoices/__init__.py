"""What an invoice becomes on its way out, and how its payment comes back: PDF, e-invoice, payment part, bank files."""

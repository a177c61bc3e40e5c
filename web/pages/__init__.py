"""What people see in a browser: the portal, written on the server, usable without JavaScript."""

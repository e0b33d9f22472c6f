"""Staff pages: server-rendered, keyboard usable, under a strict content security policy."""

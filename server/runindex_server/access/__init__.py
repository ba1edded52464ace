"""Who may call, and what is kept of it: roles, tokens, rates, and the audit log. Nothing here knows gRPC."""

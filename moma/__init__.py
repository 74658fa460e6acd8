"""The kernel: what two roles must agree on. It knows no role and, outside `moma.rpc`, no transport."""

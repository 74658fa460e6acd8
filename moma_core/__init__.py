"""The kernel: what two roles must agree on. It knows no role."""

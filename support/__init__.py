"""Errors, files and streams: small modules, used from everywhere, that import no torch unless their work needs it."""

"""absl mains, thin: flags in, a run directory out."""

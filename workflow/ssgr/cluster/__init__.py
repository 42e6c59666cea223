"""GPUs, job sizes, and jobs that span several machines."""

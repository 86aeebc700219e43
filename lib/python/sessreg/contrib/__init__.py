"""What this package has for frameworks. Each needs its framework, and is imported by nothing else."""

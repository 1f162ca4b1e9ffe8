"""Image losses, regularisers of Gaussians, and metrics."""

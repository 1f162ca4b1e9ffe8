"""gsplat's CUDA kernels as an avatarkit rasterizer."""

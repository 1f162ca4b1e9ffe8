"""Operators: edits of the Gaussians, the mesh or the motion themselves.  Exact at every time and from every side, instant."""

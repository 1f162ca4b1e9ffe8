"""avatarkit: reconstruct, drive and edit dynamic 3D head avatars made of Gaussians.

Importing this package, the command line and the plugin registry must stay light: no torch, numba or diffusers here.
Heavy modules are imported by the code that uses them.
"""

__version__ = "0.1.0"

__all__ = ["__version__"]

"""Head parameters for captures: sequence files, landmark fit, photometric fit."""

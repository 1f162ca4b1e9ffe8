"""Parametric head models: parameters → vertices and joints."""

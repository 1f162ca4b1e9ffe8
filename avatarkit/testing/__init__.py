"""Conformance checks that plugin authors run on their parts.

In a test of your own::

    import pytest
    from avatarkit.testing import conformance

    @pytest.mark.parametrize("check", conformance.checks("rasterizer"), ids=conformance.name)
    def test_conformance(check):
        check(MyRasterizer())

or from the command line: ``avatarkit plugins check rasterizer:mine``.
"""

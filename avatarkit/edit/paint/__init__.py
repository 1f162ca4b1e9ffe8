"""``paint``: what an image editor can do without learned weights.

``asked.can_paint`` and ``asked.refusal`` say beforehand what it can; ``painter.Paint`` is the editor.  Paint is anchored on
the head: textures and places are functions of ``Correspondences.rest``, so that all views of a head get the same paint.
"""

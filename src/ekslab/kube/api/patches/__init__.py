"""The patch formats of PATCH: pure functions from an object and a patch to a new object.

None changes what it is given; what a patch does not touch is shared between old and new object.
"""

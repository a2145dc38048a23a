"""Puts the package on the path. Imported first by every test."""

import os
import sys

PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LIB = os.path.join(PACKAGE, "lib")

if LIB not in sys.path:
    sys.path.insert(0, LIB)

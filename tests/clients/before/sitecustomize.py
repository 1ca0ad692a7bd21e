"""Python 3.10 took away a name that the released `marathon` client still uses. The client stays as it was released; the
interpreter gets the name back."""

import collections
import collections.abc

if not hasattr(collections, "Iterable"):
    collections.Iterable = collections.abc.Iterable

"""Python 3.10 took away names that the released `marathon` and `dcos` clients still use. The clients stay as they were released; the
interpreter gets the names back."""

import collections
import collections.abc

for name in ["Iterable", "Mapping", "MutableMapping"]:
    if not hasattr(collections, name):
        setattr(collections, name, getattr(collections.abc, name))

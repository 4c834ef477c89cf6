"""Import Synapse's module API once, without the deprecation warnings of the Twisted that it runs on."""

from __future__ import annotations

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import synapse.module_api  # noqa: F401 - imported for its effect

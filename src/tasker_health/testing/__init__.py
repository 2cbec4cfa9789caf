"""For users' own tests: contract suites, generated worlds and reports, and doubles.

Nothing in the package imports it. The contract suites need pytest and anyio's plugin, the
strategies need Hypothesis; the doubles need neither, so each is a module of its own.
"""

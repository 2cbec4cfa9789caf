"""What the domain's ports stand for: each adapter knows one vendor and no sibling."""

"""Where what is known is sent, without anybody asking: agents, collectors, receivers of alerts.

Each is imported only where a setting names it, for each brings a vendor of its own.
"""

"""The policy pack: what no stack of Environments and Sessions may do, enforced by the engine.

`catalogue` lists the rules, `rules/` holds one module for each, `RULES.md` is the table made from them.
"""

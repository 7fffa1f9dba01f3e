"""What svcc has loaded, read as Services again: frontends and where they lead.

A small reading of the layouts that svcc itself writes, for people who look from outside. It proves
nothing: svcc verify --live does, for any layout and by code of its own.
"""

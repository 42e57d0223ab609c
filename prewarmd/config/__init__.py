"""The configuration: one frozen tree, made of a file, the environment and flags.

What is exported is loaded on first use: a verb that only needs the socket's path (`find_places`)
starts without paying for pydantic.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prewarmd.config.loading import load as load
    from prewarmd.config.places import find_places as find_places
    from prewarmd.config.places import socket_path as socket_path
    from prewarmd.config.show import effective_toml as effective_toml
    from prewarmd.config.tree import Config as Config

_HOMES = {
    "Config": "tree",
    "effective_toml": "show",
    "load": "loading",
    "find_places": "places",
    "socket_path": "places",
}


def __getattr__(name: str) -> object:
    """Import the exported name's module when it is asked for (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value

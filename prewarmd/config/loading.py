"""From file, environment and flags to the one frozen object, or to every mistake at once.

Flags win over the environment, the environment over the file, the file over the defaults. Reads
files, but neither clock nor process environment: what it needs is given.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from prewarmd.config.layers import Layer, env_layer, file_layer, find_file, flag_layer, merge
from prewarmd.config.mistakes import mistakes_of
from prewarmd.config.places import fill_places
from prewarmd.config.rules import broken_rules
from prewarmd.config.secret_files import (
    SUFFIX,
    has_inline_secrets,
    is_readable_by_others,
    resolve_secrets,
)
from prewarmd.config.tree import Config
from prewarmd.errors import ConfigError, Mistake


def load(
    path: Path | None,
    env: Mapping[str, str],
    overrides: Mapping[str, object] | None = None,
    *,
    cwd: Path | None = None,
    euid: int | None = None,
) -> Config:
    """The configuration; ConfigError lists everything wrong with it.

    `path` is what -c names; `overrides` are flags under dotted keys (`{"workers": 2}`), None for
    one that was not given.
    """
    cwd = Path.cwd() if cwd is None else cwd
    file = find_file(path, env, cwd)
    bottom = file_layer(file, env) if file is not None else Layer()
    if bottom.mistakes:
        # Without the file nearly every key would be missing: noise around the one real mistake.
        raise ConfigError(bottom.mistakes)
    warnings = []
    if file is not None and has_inline_secrets(bottom.table) and is_readable_by_others(file):
        warnings.append(f"{file} holds secrets and can be read by others: chmod 600 {file}")
    middle, top = env_layer(env, cwd), flag_layer(overrides or {}, cwd, env)
    table = merge(merge(bottom.table, middle.table), top.table)

    mistakes = middle.mistakes
    mistakes += fill_places(table, top.table, env, os.geteuid() if euid is None else euid)
    found, more_warnings = resolve_secrets(table)
    mistakes += found
    mistakes += broken_rules(table)
    config: Config | None = None
    try:
        config = Config.model_validate(
            table, context={"file": file, "warnings": warnings + more_warnings}
        )
    except ValidationError as error:
        mistakes += _new(mistakes, mistakes_of(error, middle.sources))
    if mistakes or config is None:
        raise ConfigError(mistakes)
    return config


def _new(known: list[Mistake], found: list[Mistake]) -> list[Mistake]:
    """Those of `found` that are no echo of one known: one mistake per key is enough."""
    keys = {mistake.key.removesuffix(SUFFIX) for mistake in known}
    return [mistake for mistake in found if mistake.key not in keys]

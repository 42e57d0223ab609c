"""Numbered .sql files, applied in order, each in one transaction with its number.

`user_version` is the number of the last one applied, `application_id` says that the file is ours.
A database with a higher number was written by a newer prewarmd and is refused.
"""

from importlib.resources import files

import apsw

from prewarmd.errors import StoreDamagedError

APPLICATION_ID = 0x70777264  # "pwrd"


def migrations(dialect: str) -> list[tuple[int, str]]:
    """(number, SQL) of every migration of a dialect, rising."""
    folder = files("prewarmd.store") / "schema" / dialect
    scripts = [path for path in folder.iterdir() if path.name.endswith(".sql")]
    return sorted((int(path.name.split("_")[0]), path.read_text("utf-8")) for path in scripts)


def migrate(connection: apsw.Connection) -> None:
    """Bring a database to this version's schema; raises StoreDamagedError for one not ours."""
    scripts = migrations("sqlite")
    version = connection.pragma("user_version")
    mark = connection.pragma("application_id")
    if version == 0 and mark == 0:
        if connection.execute("SELECT count(*) FROM sqlite_schema").get:
            raise StoreDamagedError(
                "the database holds tables that are not prewarmd's",
                "choose another state_dir",
            )
    elif mark != APPLICATION_ID:
        raise StoreDamagedError(
            "the database belongs to another application", "choose another state_dir"
        )
    if version > scripts[-1][0]:
        raise StoreDamagedError(
            f"the database has schema {version}, this prewarmd knows up to {scripts[-1][0]}",
            "run the newer prewarmd that wrote it",
        )
    for number, sql in scripts:
        if number > version:
            with connection:
                connection.execute(sql)
                connection.pragma("application_id", APPLICATION_ID)
                connection.pragma("user_version", number)

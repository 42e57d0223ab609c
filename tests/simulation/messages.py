"""What Telegram keeps: messages that can be forwarded, and file_ids that can be sent.

People delete messages; file_ids go bad for reasons of Telegram's own. Neither tells of the other.
"""

from random import Random

from prewarmd.core.verbs import Forward, Light, Resend

LATELY = 200
"""What goes is one of the last so many."""
MOST = 20
"""So many may go at once."""


class Messages:
    """All that were delivered, and are known to whoever sent them."""

    def __init__(self, dice: Random) -> None:
        self._dice = dice
        self._kept: dict[int, tuple[str, int]] = {}
        """message -> (bot, chat)."""
        self._files: dict[str, tuple[str, str]] = {}
        """Good file_ids -> (bot, kind)."""
        self._contents: dict[str, str] = {}
        """file_id -> content, of those that are gone, too."""
        self._sent: list[int] = []
        self.unseen: set[int] = set()
        """Messages whose bytes nobody of ours has seen."""

    def keep(self, message: int, bot: str, chat_id: int, content: str, kind: str) -> None:
        """A message was delivered."""
        self._kept[message] = (bot, chat_id)
        self._files[file_id_of(message)] = (bot, kind)
        self._contents[file_id_of(message)] = content
        self._sent.append(message)

    def delete(self) -> None:
        """Somebody tidies up."""
        for message in self._some():
            self._kept.pop(message, None)

    def spoil(self) -> None:
        """File_ids go bad."""
        for message in self._some():
            self._files.pop(file_id_of(message), None)

    def _some(self) -> list[int]:
        lately = self._sent[-LATELY:]
        most = 1 + int(self._dice.random() * MOST)
        return self._dice.sample(lately, min(most, len(lately)))

    def content(self, verb: Light) -> str:
        """What is sent by a message or a file_id, were it ever so old; "" when there is none."""
        match verb:
            case Forward():
                return self._contents.get(file_id_of(verb.message_id), "")
            case Resend():
                return self._contents.get(verb.file_id, "")
            case _:
                return ""

    def forwards(self, verb: Forward) -> bool:
        """Whether that message is there for that bot."""
        return self._kept.get(verb.message_id) == (verb.bot, verb.from_chat_id)

    def resends(self, verb: Resend) -> bool:
        """Whether that file_id is good, for that bot and as that kind."""
        return self._files.get(verb.file_id) == (verb.bot, verb.kind)


def file_id_of(message: int) -> str:
    """By which a message's media can be sent."""
    return f"F{message}"

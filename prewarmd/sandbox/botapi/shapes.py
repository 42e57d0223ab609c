"""What answers look like: users, chats, messages, as clients decode them (telegram.md 11)."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class BotAccount:
    """A bot that exists."""

    token: str
    username: str

    @property
    def id(self) -> int:
        """The number before the colon."""
        return int(self.token.partition(":")[0])


@dataclass(frozen=True, slots=True)
class Chat:
    """A chat that every bot of the sandbox may write to."""

    id: int
    type: str
    title: str


def user(bot: BotAccount) -> dict[str, Any]:
    """User."""
    return {"id": bot.id, "is_bot": True, "first_name": bot.username, "username": bot.username}


def me(bot: BotAccount) -> dict[str, Any]:
    """User, as getMe tells it."""
    return {
        **user(bot),
        "can_join_groups": True,
        "can_read_all_group_messages": False,
        "supports_inline_queries": False,
        "can_connect_to_business": False,
        "has_main_web_app": False,
    }


def chat(of: Chat) -> dict[str, Any]:
    """Chat."""
    name = "first_name" if of.type == "private" else "title"
    return {"id": of.id, name: of.title, "type": of.type}


def full_chat(of: Chat) -> dict[str, Any]:
    """ChatFullInfo."""
    return {
        **chat(of),
        "accent_color_id": 0,
        "max_reaction_count": 11,
        "accepted_gift_types": {
            "unlimited_gifts": False,
            "limited_gifts": False,
            "unique_gifts": False,
            "premium_subscription": False,
            "gifts_from_channels": False,
        },
    }


_RIGHTS = (
    "can_be_edited", "is_anonymous", "can_delete_messages", "can_manage_video_chats",
    "can_restrict_members", "can_promote_members", "can_change_info", "can_invite_users",
    "can_post_stories", "can_edit_stories", "can_delete_stories", "can_edit_messages",
    "can_send_welcome_messages",
)  # fmt: skip
"""That a bot with only "post messages" does not have."""


def member(bot: BotAccount, of: Chat) -> dict[str, Any]:
    """ChatMember: everybody may post."""
    if of.type == "private":
        return {"status": "member", "user": user(bot)}
    may = {"can_manage_chat": True, "can_post_messages": True}
    return {"status": "administrator", "user": user(bot), **dict.fromkeys(_RIGHTS, False), **may}


def message(bot: BotAccount, to: Chat, number: int, sent_s: int) -> dict[str, Any]:
    """Message, without what it says: a channel's posts come from the channel."""
    sender = {"sender_chat": chat(to)} if to.type == "channel" else {"from": user(bot)}
    return {"message_id": number, **sender, "chat": chat(to), "date": sent_s}


def origin(bot: BotAccount, source: Chat, number: int, sent_s: int) -> dict[str, Any]:
    """MessageOrigin, of what was forwarded."""
    if source.type == "channel":
        return {"type": "channel", "date": sent_s, "chat": chat(source), "message_id": number}
    return {"type": "user", "date": sent_s, "sender_user": user(bot)}

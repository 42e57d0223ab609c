"""aiogram: its models decode the answer of every method, and have a field for each key in it; its
errors come from the descriptions. Runs in an environment that has aiogram and nothing of prewarmd.
"""
# mypy: ignore-errors

import asyncio
import io
import json
import sys
from pathlib import Path

import aiogram
from aiogram import Bot
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.exceptions import (
    TelegramBadRequest,
    TelegramMigrateToChat,
    TelegramRetryAfter,
    TelegramUnauthorizedError,
)
from aiogram.methods import Response
from aiogram.types import FSInputFile, InputMediaPhoto, InputMediaVideo
from pydantic import BaseModel

PLAIN = (bool, int, float, str)


def compare(raw, model, place):
    """ValueError when an answer says what its model has no field for, or in another type."""
    if isinstance(model, BaseModel):
        fields = {field.alias or name: name for name, field in type(model).model_fields.items()}
        if unknown := raw.keys() - fields.keys():
            raise ValueError(f"{place}: {type(model).__name__} has no {sorted(unknown)}")
        for key, value in raw.items():
            compare(value, getattr(model, fields[key]), f"{place}.{key}")
    elif isinstance(model, list):
        for number, (value, one) in enumerate(zip(raw, model, strict=True)):
            compare(value, one, f"{place}[{number}]")
    elif type(model) in PLAIN and type(raw) is not type(model):
        raise ValueError(f"{place}: {raw!r} should be {model!r}")


class StrictSession(AiohttpSession):
    """Compares whatever comes, and remembers what was answered with ok."""

    called = set()

    def check_response(self, bot, method, status_code, content):
        raw = json.loads(content)
        parsed = Response[method.__returning__].model_validate(raw, context={"bot": bot})
        name = method.__api_method__
        compare(raw, parsed, name)
        if parsed.ok:
            self.called.add(name.lower())
        return super().check_response(bot, method, status_code, content)


def uncalled(methods):
    """Methods of the server's table that aiogram has, and that had no good answer here."""
    classes = (getattr(aiogram.methods, name) for name in aiogram.methods.__all__)
    names = (getattr(one, "__api_method__", None) for one in classes)
    theirs = {name.lower() for name in names if isinstance(name, str)}
    return sorted((theirs & set(methods)) - StrictSession.called)


async def main(given):
    server = TelegramAPIServer.from_base(given["base"])
    bot, other, wrong = (
        Bot(token, session=StrictSession(api=server))
        for token in (given["token"], given["other_token"], "12345:" + "w" * 35)
    )
    chat, files = given["chat"], given["files"]
    try:
        me = await bot.get_me()
        assert me.is_bot
        assert me.id == bot.id
        assert (await bot.get_chat(chat)).type == "channel"
        assert (await bot.get_chat_member(chat, me.id)).can_post_messages
        assert await bot.get_updates() == []
        sent = {
            kind: await getattr(bot, f"send_{kind}")(chat, FSInputFile(path))
            for kind, path in files.items()
        }
        for kind, message in sent.items():
            media = getattr(message, kind)
            assert (media[-1] if kind == "photo" else media).file_id
        assert sent["document"].document.mime_type == "application/pdf"
        assert sent["video_note"].video_note.length == 120
        assert sent["sticker"].sticker.is_animated is False
        photo = sent["photo"].photo[-1]
        again = await bot.send_photo(chat, photo.file_id)
        assert again.photo[-1].file_unique_id == photo.file_unique_id

        found = await bot.get_file(sent["video"].video.file_id)
        data = (await bot.download_file(found.file_path, io.BytesIO())).getvalue()
        assert data == Path(files["video"]).read_bytes()
        album = await bot.send_media_group(
            chat,
            [InputMediaPhoto(media=photo.file_id),
             InputMediaVideo(media=FSInputFile(files["video"]), caption="film")],
        )  # fmt: skip
        assert len(album) == 2
        forwarded = await bot.forward_message(given["private"], chat, album[1].message_id)
        assert forwarded.forward_origin.chat.id == chat
        copied = await bot.copy_message(chat, chat, album[0].message_id)
        edited = await bot.edit_message_media(
            InputMediaVideo(media=sent["video"].video.file_id), chat_id=chat,
            message_id=copied.message_id,
        )  # fmt: skip
        assert edited.video.width == 160
        assert await bot.delete_message(chat, copied.message_id)
        assert await bot.send_chat_action(chat, "upload_photo")
        live = await bot.send_live_photo(
            chat, FSInputFile(files["video"]), FSInputFile(files["photo"])
        )
        assert live.live_photo.photo[-1].file_id == live.photo[-1].file_id
        copies = await bot.copy_messages(chat, chat, [one.message_id for one in (*album, live)])
        assert len(copies) == 3
        assert await bot.delete_messages(chat, [one.message_id for one in copies])
        assert await bot.delete_webhook()

        told = {"client": f"aiogram {aiogram.__version__}", "kinds": list(sent)}
        try:
            await bot.send_message(chat, "flood")
        except TelegramRetryAfter as error:
            told["retry_after"] = error.retry_after
        try:
            await bot.send_message(given["private"], "moved")
        except TelegramMigrateToChat as error:
            told["migrate_to"] = error.migrate_to_chat_id
        try:
            await other.send_photo(chat, photo.file_id)
        except TelegramBadRequest as error:
            told["refused"] = error.message
        try:
            await wrong.get_me()
        except TelegramUnauthorizedError:
            told["unauthorized"] = True
        for place in (chat, given["private"]):
            assert (await bot.send_message(place, "done")).text == "done"
        assert await other.close()
        assert await other.log_out()
        if missing := uncalled(given["methods"]):
            raise ValueError(f"no call of {', '.join(missing)}: add one here")
        print(json.dumps(told))
    finally:
        for client in (bot, other, wrong):
            await client.session.close()


asyncio.run(main(json.loads(sys.argv[1])))

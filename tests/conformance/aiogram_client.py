"""aiogram: its strict models decode every answer, its errors come from the descriptions. Runs in an
environment that has aiogram and nothing of prewarmd."""
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
from aiogram.types import FSInputFile, InputMediaPhoto, InputMediaVideo


async def main(given):
    server = TelegramAPIServer.from_base(given["base"])
    bot, other, wrong = (
        Bot(token, session=AiohttpSession(api=server))
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
        print(json.dumps(told))
    finally:
        for client in (bot, other, wrong):
            await client.session.close()


asyncio.run(main(json.loads(sys.argv[1])))

"""Runs in an environment that has aiogram and nothing of prewarmd: aiogram's strict models decode
every answer, its errors come from the descriptions."""
# mypy: ignore-errors

import asyncio
import json
import sys

import aiogram
from aiogram import Bot
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.exceptions import TelegramBadRequest, TelegramUnauthorizedError
from aiogram.types import FSInputFile


async def main(given):
    server = TelegramAPIServer.from_base(given["base"])
    bot = Bot(given["token"], session=AiohttpSession(api=server))
    other = Bot(given["other_token"], session=AiohttpSession(api=server))
    wrong = Bot("12345:" + "w" * 35, session=AiohttpSession(api=server))
    chat, files = given["chat"], given["files"]
    try:
        me = await bot.get_me()
        assert me.is_bot
        assert me.id == bot.id
        assert (await bot.get_chat(chat)).type == "channel"
        photo = await bot.send_photo(chat, FSInputFile(files["photo"]))
        assert photo.photo[-1].width == 320
        video = await bot.send_video(chat, FSInputFile(files["video"]))
        assert video.video.file_size == 300_000
        document = await bot.send_document(chat, FSInputFile(files["document"]))
        assert document.document.mime_type == "application/pdf"
        audio = await bot.send_audio(chat, FSInputFile(files["audio"]))
        assert audio.audio.mime_type == "audio/mpeg"
        again = await bot.send_photo(chat, photo.photo[-1].file_id)
        assert again.photo[-1].file_unique_id == photo.photo[-1].file_unique_id
        refused = []
        for client, to, what in (
            (other, chat, photo.photo[-1].file_id),
            (bot, 4711, photo.photo[-1].file_id),
        ):
            try:
                await client.send_photo(to, what)
            except TelegramBadRequest as error:
                refused.append(error.message)
        assert len(refused) == 2, refused
        try:
            await wrong.get_me()
        except TelegramUnauthorizedError:
            refused.append("Unauthorized")
        print(
            json.dumps(
                {
                    "aiogram": aiogram.__version__,
                    "photo": photo.photo[-1].file_id,
                    "video": video.video.file_id,
                    "document": document.document.file_id,
                    "refused": refused,
                }
            )
        )
        assert len(refused) == 3
    finally:
        for client in (bot, other, wrong):
            await client.session.close()


asyncio.run(main(json.loads(sys.argv[1])))

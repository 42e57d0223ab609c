"""python-telegram-bot: names a file part as the parameter, and as attach:// in albums. Runs in an
environment that has it and nothing of prewarmd."""
# mypy: ignore-errors

import asyncio
import json
import sys
from pathlib import Path

import telegram
from telegram import Bot, InputMediaPhoto, InputMediaVideo
from telegram.error import BadRequest, ChatMigrated, InvalidToken, RetryAfter


def bot_of(given, token):
    return Bot(token, base_url=f"{given['base']}/bot", base_file_url=f"{given['base']}/file/bot")


async def main(given):
    chat, files = given["chat"], given["files"]
    async with bot_of(given, given["token"]) as bot, bot_of(given, given["other_token"]) as other:
        assert bot.bot.is_bot
        assert (await bot.get_chat(chat)).type == "channel"
        sent = {}
        for kind, path in files.items():
            with Path(path).open("rb") as file:
                sent[kind] = await getattr(bot, f"send_{kind}")(chat, file)
            media = getattr(sent[kind], kind)
            assert (media[-1] if kind == "photo" else media).file_id
        photo = sent["photo"].photo[-1]
        again = await bot.send_photo(chat, photo.file_id)
        assert again.photo[-1].file_unique_id == photo.file_unique_id

        found = await sent["video"].video.get_file()
        with Path(files["video"]).open("rb") as file:
            assert bytes(await found.download_as_bytearray()) == file.read()
            file.seek(0)
            album = await bot.send_media_group(
                chat, [InputMediaPhoto(photo.file_id), InputMediaVideo(file)]
            )
        forwarded = await bot.forward_message(given["private"], chat, album[1].message_id)
        assert forwarded.forward_origin.chat.id == chat
        assert await bot.delete_message(chat, album[0].message_id)

        told = {"client": f"python-telegram-bot {telegram.__version__}", "kinds": list(sent)}
        try:
            await bot.send_message(chat, "flood")
        except RetryAfter as error:
            told["retry_after"] = int(error.retry_after)
        try:
            await bot.send_message(given["private"], "moved")
        except ChatMigrated as error:
            told["migrate_to"] = error.new_chat_id
        try:
            await other.send_photo(chat, photo.file_id)
        except BadRequest as error:
            told["refused"] = error.message
        try:
            await bot_of(given, "12345:" + "w" * 35).initialize()
        except InvalidToken:
            told["unauthorized"] = True
        print(json.dumps(told))


asyncio.run(main(json.loads(sys.argv[1])))

"""pyTelegramBotAPI: synchronous, over requests. Runs in an environment that has it and nothing of
prewarmd."""
# mypy: ignore-errors

import json
import sys
from importlib.metadata import version
from pathlib import Path

from telebot import TeleBot, apihelper
from telebot.apihelper import ApiTelegramException
from telebot.types import InputMediaPhoto, InputMediaVideo


def refusal(act):
    try:
        act()
    except ApiTelegramException as error:
        return error.result_json
    return {}


def main(given):
    apihelper.API_URL = given["base"] + "/bot{0}/{1}"
    apihelper.FILE_URL = given["base"] + "/file/bot{0}/{1}"
    bot, other = (TeleBot(given[name], threaded=False) for name in ("token", "other_token"))
    chat, files = given["chat"], given["files"]
    assert bot.get_me().is_bot
    assert bot.get_chat(chat).type == "channel"
    sent = {}
    for kind, path in files.items():
        with Path(path).open("rb") as file:
            sent[kind] = getattr(bot, f"send_{kind}")(chat, file)
        media = getattr(sent[kind], kind)
        assert (media[-1] if kind == "photo" else media).file_id
    photo = sent["photo"].photo[-1]
    again = bot.send_photo(chat, photo.file_id)
    assert again.photo[-1].file_unique_id == photo.file_unique_id
    found = bot.get_file(sent["video"].video.file_id)
    with Path(files["video"]).open("rb") as file:
        assert bot.download_file(found.file_path) == file.read()
        file.seek(0)
        album = bot.send_media_group(chat, [InputMediaPhoto(photo.file_id), InputMediaVideo(file)])
    forwarded = bot.forward_message(given["private"], chat, album[1].message_id)
    assert forwarded.video.file_unique_id == album[1].video.file_unique_id
    assert bot.delete_message(chat, album[0].message_id)
    flood = refusal(lambda: bot.send_message(chat, "flood"))
    moved = refusal(lambda: bot.send_message(given["private"], "moved"))
    wrong = TeleBot("12345:" + "w" * 35, threaded=False)
    told = {
        "client": f"pyTelegramBotAPI {version('pyTelegramBotAPI')}",
        "kinds": list(sent),
        "retry_after": flood["parameters"]["retry_after"],
        "migrate_to": moved["parameters"]["migrate_to_chat_id"],
        "refused": refusal(lambda: other.send_photo(chat, photo.file_id))["description"],
        "unauthorized": refusal(wrong.get_me)["error_code"] == 401,
    }
    print(json.dumps(told))


main(json.loads(sys.argv[1]))

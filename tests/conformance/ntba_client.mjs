// node-telegram-bot-api: over fetch, with FormData.
import assert from "node:assert";
import fs from "node:fs";
import { Api, InputFile, TelegramApiError } from "node-telegram-bot-api";
import { basename } from "node:path";

const { version } = JSON.parse(
  fs.readFileSync(new URL("../../package.json", import.meta.resolve("node-telegram-bot-api"))),
);
const camel = (kind) => kind.replace(/(^|_)(.)/g, (_, __, letter) => letter.toUpperCase());
const file = (path) => new InputFile(fs.readFileSync(path), { filename: basename(path) });

async function refusal(act) {
  try {
    await act();
  } catch (error) {
    if (error instanceof TelegramApiError) return error;
    throw error;
  }
  return {};
}

const given = JSON.parse(process.argv[2]);
const [bot, other, wrong] = [given.token, given.other_token, "12345:" + "w".repeat(35)].map(
  (token) => new Api(token, { apiRoot: given.base, maxRetries: 0 }),
);
const { chat, files } = given;
assert((await bot.getMe()).is_bot);
assert.equal((await bot.getChat({ chat_id: chat })).type, "channel");
const sent = {};
for (const [kind, path] of Object.entries(files)) {
  sent[kind] = await bot[`send${camel(kind)}`]({ chat_id: chat, [kind]: file(path) });
  const media = kind === "photo" ? sent[kind].photo.at(-1) : sent[kind][kind];
  assert(media.file_id, kind);
}
const photo = sent.photo.photo.at(-1);
const again = await bot.sendPhoto({ chat_id: chat, photo: photo.file_id });
assert.equal(again.photo.at(-1).file_unique_id, photo.file_unique_id);
const { file_path } = await bot.getFile({ file_id: sent.video.video.file_id });
const link = `${given.base}/file/bot${given.token}/${file_path}`;
const data = Buffer.from(await (await fetch(link)).arrayBuffer());
assert(data.equals(fs.readFileSync(files.video)));
const album = await bot.sendMediaGroup({
  chat_id: chat,
  media: [
    { type: "photo", media: photo.file_id },
    { type: "video", media: file(files.video) },
  ],
});
const forwarded = await bot.forwardMessage({
  chat_id: given.private,
  from_chat_id: chat,
  message_id: album[1].message_id,
});
assert.equal(forwarded.forward_origin.chat.id, chat);
assert(await bot.deleteMessage({ chat_id: chat, message_id: album[0].message_id }));
const flood = await refusal(() => bot.sendMessage({ chat_id: chat, text: "flood" }));
const moved = await refusal(() => bot.sendMessage({ chat_id: given.private, text: "moved" }));
console.log(
  JSON.stringify({
    client: `node-telegram-bot-api ${version}`,
    kinds: Object.keys(sent),
    retry_after: flood.retryAfter,
    migrate_to: moved.migrateToChatId,
    refused: (await refusal(() => other.sendPhoto({ chat_id: chat, photo: photo.file_id })))
      .description,
    unauthorized: (await refusal(() => wrong.getMe())).errorCode === 401,
  }),
);

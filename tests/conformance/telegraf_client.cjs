// telegraf: attach:// names of its own, streams of unknown length.
const fs = require("node:fs");
const assert = require("node:assert");
const { Telegram } = require("telegraf");
const { version } = JSON.parse(
  fs.readFileSync(require.resolve("telegraf").replace(/lib.*$/, "package.json")),
);

const camel = (kind) => kind.replace(/(^|_)(.)/g, (_, __, letter) => letter.toUpperCase());

async function refusal(act) {
  try {
    await act();
  } catch (error) {
    return error.response;
  }
  return {};
}

async function main(given) {
  const [bot, other, wrong] = [given.token, given.other_token, "12345:" + "w".repeat(35)].map(
    (token) => new Telegram(token, { apiRoot: given.base }),
  );
  const { chat, files } = given;
  assert((await bot.getMe()).is_bot);
  assert.equal((await bot.getChat(chat)).type, "channel");
  const sent = {};
  for (const [kind, path] of Object.entries(files)) {
    sent[kind] = await bot[`send${camel(kind)}`](chat, { source: path });
    const media = kind === "photo" ? sent[kind].photo.at(-1) : sent[kind][kind];
    assert(media.file_id, kind);
  }
  const photo = sent.photo.photo.at(-1);
  const again = await bot.sendPhoto(chat, photo.file_id);
  assert.equal(again.photo.at(-1).file_unique_id, photo.file_unique_id);
  const link = await bot.getFileLink(sent.video.video.file_id);
  const data = Buffer.from(await (await fetch(link)).arrayBuffer());
  assert(data.equals(fs.readFileSync(files.video)));
  const album = await bot.sendMediaGroup(chat, [
    { type: "photo", media: photo.file_id },
    { type: "video", media: { source: files.video } },
  ]);
  const forwarded = await bot.forwardMessage(given.private, chat, album[1].message_id);
  assert.equal(forwarded.video.file_unique_id, album[1].video.file_unique_id);
  assert(await bot.deleteMessage(chat, album[0].message_id));
  const flood = await refusal(() => bot.sendMessage(chat, "flood"));
  const moved = await refusal(() => bot.sendMessage(given.private, "moved"));
  console.log(
    JSON.stringify({
      client: `telegraf ${version}`,
      kinds: Object.keys(sent),
      retry_after: flood.parameters.retry_after,
      migrate_to: moved.parameters.migrate_to_chat_id,
      refused: (await refusal(() => other.sendPhoto(chat, photo.file_id))).description,
      unauthorized: (await refusal(() => wrong.getMe())).error_code === 401,
    }),
  );
}

main(JSON.parse(process.argv[2]));

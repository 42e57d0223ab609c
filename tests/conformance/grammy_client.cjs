// grammY with its auto-retry and its throttler: a 429 is waited for, so that it is seen by nobody.
const fs = require("node:fs");
const assert = require("node:assert");
const { Api, GrammyError, InputFile } = require("grammy");
const { autoRetry } = require("@grammyjs/auto-retry");
const { apiThrottler } = require("@grammyjs/transformer-throttler");
const { version } = JSON.parse(
  fs.readFileSync(require.resolve("grammy").replace(/out.*$/, "package.json")),
);

const camel = (kind) => kind.replace(/(^|_)(.)/g, (_, __, letter) => letter.toUpperCase());

async function refusal(act) {
  try {
    await act();
  } catch (error) {
    if (error instanceof GrammyError) return error;
    throw error;
  }
  return {};
}

async function main(given) {
  const seen = [];
  const [bot, other, wrong] = [given.token, given.other_token, "12345:" + "w".repeat(35)].map(
    (token) => new Api(token, { apiRoot: given.base }),
  );
  // The first to be installed is the last to be asked: it sees what the others wait for.
  bot.config.use(async (prev, method, payload, signal) => {
    const answer = await prev(method, payload, signal);
    if (!answer.ok && answer.parameters) seen.push(answer.parameters);
    return answer;
  });
  bot.config.use(apiThrottler());
  bot.config.use(autoRetry());
  const { chat, files } = given;
  assert((await bot.getMe()).is_bot);
  assert.equal((await bot.getChat(chat)).type, "channel");
  const sent = {};
  for (const [kind, path] of Object.entries(files)) {
    sent[kind] = await bot[`send${camel(kind)}`](chat, new InputFile(path));
    const media = kind === "photo" ? sent[kind].photo.at(-1) : sent[kind][kind];
    assert(media.file_id, kind);
  }
  const photo = sent.photo.photo.at(-1);
  const again = await bot.sendPhoto(chat, photo.file_id);
  assert.equal(again.photo.at(-1).file_unique_id, photo.file_unique_id);
  const { file_path } = await bot.getFile(sent.video.video.file_id);
  const link = `${given.base}/file/bot${given.token}/${file_path}`;
  const data = Buffer.from(await (await fetch(link)).arrayBuffer());
  assert(data.equals(fs.readFileSync(files.video)));
  const album = await bot.sendMediaGroup(chat, [
    { type: "photo", media: photo.file_id },
    { type: "video", media: new InputFile(files.video) },
  ]);
  const forwarded = await bot.forwardMessage(given.private, chat, album[1].message_id);
  assert.equal(forwarded.forward_origin.chat.id, chat);
  assert(await bot.deleteMessage(chat, album[0].message_id));
  await bot.sendMessage(chat, "flood"); // the second time it is accepted
  const moved = await refusal(() => bot.sendMessage(given.private, "moved"));
  console.log(
    JSON.stringify({
      client: `grammY ${version}`,
      kinds: Object.keys(sent),
      retry_after: seen[0].retry_after,
      migrate_to: moved.parameters.migrate_to_chat_id,
      refused: (await refusal(() => other.sendPhoto(chat, photo.file_id))).description,
      unauthorized: (await refusal(() => wrong.getMe())).error_code === 401,
    }),
  );
}

main(JSON.parse(process.argv[2]));

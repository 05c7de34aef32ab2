// Holds exported folders against `mirror encode`, loaded by transformers.js from a local path.
//
//     node transformers_js.mjs CASES.json     (where node_modules is, in MIRROR_NODE_MODULES)

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, dirname, resolve } from "node:path";

const require = createRequire(`${resolve(process.env.MIRROR_NODE_MODULES)}/`);
const { env, pipeline } = require("@huggingface/transformers");

const DTYPES = { f32: "fp32", f16: "fp16", int8: "int8" };
const TOLERANCES = { f32: 1e-4, f16: 2e-3 };
const LEAST_COSINE = 0.98;

env.allowRemoteModels = false;

for (const test of JSON.parse(readFileSync(process.argv[2], "utf8"))) {
  const expected = readFileSync(test.expected, "utf8").trimEnd().split("\n").map((line) => JSON.parse(line));
  env.localModelPath = dirname(resolve(test.folder));
  for (const precision of test.precisions) {
    const extractor = await pipeline("feature-extraction", basename(test.folder), { dtype: DTYPES[precision] });
    const { tokenizer } = extractor;
    const embed = async (inputs) => {
      const { sentence_embedding } = await extractor.model(inputs);
      return sentence_embedding.normalize(2, -1).tolist();
    };
    const isCut = (sentence) => tokenizer(sentence).input_ids.dims[1] > tokenizer.model_max_length;
    const whole = test.sentences.filter((sentence) => !isCut(sentence));
    const embedded = new Map();
    const pooled = new Map();
    for (let start = 0; start < whole.length; start += test.batch) {
      const sentences = whole.slice(start, start + test.batch);
      const rows = await embed(tokenizer(sentences, { padding: true, truncation: true }));
      sentences.forEach((sentence, i) => embedded.set(sentence, rows[i]));
      if (["mean", "cls"].includes(test.pooling)) {
        const rows = (await extractor(sentences, { pooling: test.pooling, normalize: true })).tolist();
        sentences.forEach((sentence, i) => pooled.set(sentence, rows[i]));
      }
    }
    for (const sentence of test.sentences.filter(isCut)) {
      embedded.set(sentence, (await embed(mended(tokenizer, sentence)))[0]);
    }
    compare("transformers.js, sentence_embedding", test, precision, embedded, expected);
    if (pooled.size > 0) compare("transformers.js, its own pooling", test, precision, pooled, expected);
  }
}

// transformers.js cuts a sentence with its special tokens around it, so that the last one falls: it is put back.
function mended(tokenizer, sentence) {
  const inputs = tokenizer(sentence, { truncation: true });
  const untruncated = tokenizer(sentence).input_ids.data;
  inputs.input_ids.data[inputs.input_ids.data.length - 1] = untruncated[untruncated.length - 1];
  return inputs;
}

function compare(client, test, precision, rows, expected) {
  let [largest, worst, cosines] = [0, "", 0];
  test.sentences.forEach((sentence, i) => {
    const row = rows.get(sentence);
    if (row === undefined) return;
    if (row.length !== expected[i].length) throw new Error(`${row.length} columns, not ${expected[i].length}`);
    row.forEach((value, j) => {
      const difference = Math.abs(value - expected[i][j]);
      if (!(difference <= largest)) [largest, worst] = [difference, sentence];
      cosines += (value * expected[i][j]) / rows.size;
    });
  });
  console.log(
    `${client}: ${test.name} ${precision}: largest difference ${largest.toExponential(1)}, mean cosine ${cosines.toFixed(5)}`,
  );
  const fits = precision === "int8" ? cosines >= LEAST_COSINE : largest <= TOLERANCES[precision];
  if (!fits) throw new Error(`${client}: ${test.name} ${precision}: ${JSON.stringify(worst)}`);
}

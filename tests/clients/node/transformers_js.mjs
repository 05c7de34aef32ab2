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
    const pooled = [];
    const embedded = [];
    for (let start = 0; start < test.sentences.length; start += test.batch) {
      const sentences = test.sentences.slice(start, start + test.batch);
      if (["mean", "cls"].includes(test.pooling)) {
        pooled.push(...(await extractor(sentences, { pooling: test.pooling, normalize: true })).tolist());
      }
      const inputs = extractor.tokenizer(sentences, { padding: true, truncation: true });
      const { sentence_embedding } = await extractor.model(inputs);
      embedded.push(...sentence_embedding.normalize(2, -1).tolist());
    }
    compare("transformers.js, sentence_embedding", test, precision, embedded, expected);
    if (pooled.length > 0) compare("transformers.js, its own pooling", test, precision, pooled, expected);
  }
}

function compare(client, test, precision, rows, expected) {
  if (rows.length !== expected.length) throw new Error(`${rows.length} rows, not ${expected.length}`);
  let largest = 0;
  let worst = 0;
  let cosines = 0;
  rows.forEach((row, i) => {
    if (row.length !== expected[i].length) throw new Error(`${row.length} columns, not ${expected[i].length}`);
    row.forEach((value, j) => {
      const difference = Math.abs(value - expected[i][j]);
      if (!(difference <= largest)) [largest, worst] = [difference, i];
      cosines += value * expected[i][j];
    });
  });
  const cosine = cosines / rows.length;
  console.log(
    `${client}: ${test.name} ${precision}: largest difference ${largest.toExponential(1)}, mean cosine ${cosine.toFixed(5)}`,
  );
  const fits = precision === "int8" ? cosine >= LEAST_COSINE : largest <= TOLERANCES[precision];
  if (!fits) throw new Error(`${client}: ${test.name} ${precision}: ${JSON.stringify(test.sentences[worst])}`);
}

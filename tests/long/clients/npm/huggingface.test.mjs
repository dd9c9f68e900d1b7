// Hugging Face's client for node, at the address of each model.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";

import { InferenceClient } from "@huggingface/inference";

import { at, chat, cosine, question, vectors } from "./service.mjs";

const client = (model) => new InferenceClient("unused", { endpointUrl: at(model) });
const drawing = async () =>
  new Blob([await readFile(process.env.PRSM_CLIENTS_DRAWING)], { type: "image/png" });
const asked = { messages: question, temperature: 0, max_tokens: 48 };

test("a chat, whole and streamed", async () => {
  const whole = await client(chat).chatCompletion(asked);
  assert.match(whole.choices[0].message.content, /Paris/);
  const pieces = [];
  for await (const chunk of client(chat).chatCompletionStream(asked)) {
    pieces.push(chunk.choices[0]?.delta.content ?? "");
  }
  assert.equal(pieces.join(""), whole.choices[0].message.content);
});

test("a text, whole and streamed", async () => {
  // A completion of OpenAI's API, which samples unless it is told not to.
  const parameters = { max_new_tokens: 6, temperature: 0 };
  const request = { inputs: "The capital of France is", parameters };
  const { generated_text: whole } = await client(chat).textGeneration(request);
  assert.match(whole, /Paris/);
  const pieces = [];
  // The client hands on the chunks of the completion, whatever its types say.
  for await (const { choices } of client(chat).textGenerationStream(request)) {
    pieces.push(choices[0].text);
  }
  assert.equal(pieces.join(""), whole);
});

test("vectors", async () => {
  const inputs = ["a cat", "a kitten", "stocks fell"];
  const [cat, kitten, stocks] = await client(vectors).featureExtraction({ inputs });
  assert.ok(cosine(cat, kitten) > 0.6 && cosine(cat, stocks) < 0.2);
});

test("sentences are compared", async () => {
  const [near, far] = await client(vectors).sentenceSimilarity({
    inputs: { source_sentence: "a cat", sentences: ["a kitten", "stocks fell"] },
  });
  assert.ok(near > 0.6 && far < 0.2);
});

test("a text is classified", async () => {
  const [best] = await client("sentiment-bge-small-en").textClassification({
    inputs: "I want my money back",
  });
  assert.equal(best.label, "NEGATIVE");
});

test("a text is classified by labels of one's own", async () => {
  const answer = await client("ms-marco-MiniLM-L12-v2").zeroShotClassification({
    inputs: "Beat the eggs and add the flour, then bake.",
    parameters: { candidate_labels: ["sports", "cooking", "politics"] },
  });
  assert.equal(answer[0].label, "cooking");
  assert.equal(answer.length, 3);
});

test("entities are found", async () => {
  const found = await client("rampart").tokenClassification({
    inputs: "José García moved to São Paulo last May.",
  });
  assert.deepEqual(
    found.map((each) => each.word),
    ["José", "García", "São Paulo"],
  );
});

test("a text is summarised", async () => {
  const { summary_text: summary } = await client(`${chat}/pipeline/summarization`).summarization({
    inputs: "The council closed the old bridge for eighteen months, since engineers found cracks.",
  });
  assert.match(summary, /bridge/);
});

test("a drawing is captioned", async () => {
  const { generated_text: caption } = await client("shapes-captions").imageToText({
    data: await drawing(),
  });
  assert.match(caption, /blue/);
});

test("a question about a drawing is answered", async () => {
  const answer = await client("shapes-questions").visualQuestionAnswering({
    inputs: { image: await drawing(), question: "What color is the shape?" },
  });
  assert.equal(answer.answer, "blue");
});

test("what is in a drawing is detected", async () => {
  const [best] = await client("shapes-detection").objectDetection({ data: await drawing() });
  assert.equal(best.label, "square");
});

test("an image is classified", async () => {
  const classes = await client("efficientnet-lite0").imageClassification({ data: await drawing() });
  assert.equal(classes.length, 5);
});

// OpenAI's client for node.

import assert from "node:assert/strict";
import { test } from "node:test";

import OpenAI from "openai";

import { at, chat, cosine, openaiURL, question, torch, vectors } from "./service.mjs";

const client = new OpenAI({ baseURL: openaiURL, apiKey: "unused", maxRetries: 0 });
const asked = { model: chat, messages: question, temperature: 0, max_tokens: 48 };
const weather = {
  type: "function",
  function: {
    name: "weather",
    parameters: {
      type: "object",
      properties: { city: { type: "string" } },
      required: ["city"],
      additionalProperties: false,
    },
  },
};

test("a chat, whole and streamed", async () => {
  const whole = await client.chat.completions.create(asked);
  assert.match(whole.choices[0].message.content, /Paris/);
  const pieces = [];
  for await (const chunk of await client.chat.completions.create({ ...asked, stream: true })) {
    pieces.push(chunk.choices[0]?.delta.content ?? "");
  }
  assert.equal(pieces.join(""), whole.choices[0].message.content);
});

test("a stream by the client's own helper", async () => {
  const stream = client.chat.completions.stream(asked);
  assert.match(await stream.finalContent(), /Paris/);
});

test("a response, whole and streamed", async () => {
  const request = { model: chat, input: question, temperature: 0, max_output_tokens: 48 };
  const whole = await client.responses.create(request);
  assert.match(whole.output_text, /Paris/);
  let last;
  for await (const event of await client.responses.create({ ...request, stream: true })) {
    last = event;
  }
  assert.equal(last.type, "response.completed");
});

test("a completion at the address of its model", async () => {
  const below = new OpenAI({ baseURL: `${at(chat)}/v1`, apiKey: "unused", maxRetries: 0 });
  const prompt = "The capital of France is";
  const answer = await below.completions.create({ model: "any", prompt, temperature: 0 });
  assert.match(answer.choices[0].text, /Paris/);
});

test("a tool that is required is called", async () => {
  const answer = await client.chat.completions.create({
    ...asked,
    model: torch,
    messages: [{ role: "user", content: "What is the weather in Oslo?" }],
    tools: [weather],
    tool_choice: "required",
  });
  const [call] = answer.choices[0].message.tool_calls;
  assert.equal(call.function.name, "weather");
  assert.match(JSON.parse(call.function.arguments).city, /Oslo/);
});

test("embeddings", async () => {
  const input = ["a cat", "a kitten", "stocks fell"];
  const { data } = await client.embeddings.create({ model: vectors, input });
  const [cat, kitten, stocks] = data.map((each) => each.embedding);
  assert.ok(cosine(cat, kitten) > 0.6 && cosine(cat, stocks) < 0.2);
});

test("models", async () => {
  const names = [];
  for await (const model of client.models.list()) names.push(model.id);
  assert.ok(names.includes("sentence-transformers/all-MiniLM-L6-v2"));
});

test("errors are the client's own", async () => {
  await assert.rejects(
    client.chat.completions.create({ ...asked, model: "none" }),
    OpenAI.NotFoundError,
  );
});

// The AI SDK: its provider for OpenAI-compatible servers, and OpenAI's own over /v1/responses.

import assert from "node:assert/strict";
import { test } from "node:test";

import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { cosineSimilarity, embedMany, generateText, Output, streamText, tool } from "ai";
import { z } from "zod";

import { chat, openaiURL, torch, vectors } from "./service.mjs";

const openai = createOpenAI({ baseURL: openaiURL, apiKey: "unused" });
const compatible = createOpenAICompatible({
  name: "prsm",
  baseURL: openaiURL,
  includeUsage: true,
  supportsStructuredOutputs: true,
});
const prompt = "What is the capital of France?";
const settings = { prompt, temperature: 0, maxOutputTokens: 48, maxRetries: 0 };
const models = { compatible, "openai's responses": openai, "openai's chat": openai.chat };

for (const [name, provider] of Object.entries(models)) {
  test(`${name}: a text`, async () => {
    const { text, usage } = await generateText({ model: provider(chat), ...settings });
    assert.match(text, /Paris/);
    assert.ok(usage.outputTokens > 3);
  });

  test(`${name}: a stream`, async () => {
    const { textStream, usage } = streamText({ model: provider(chat), ...settings });
    const pieces = [];
    for await (const piece of textStream) pieces.push(piece);
    assert.match(pieces.join(""), /Paris/);
    assert.ok(pieces.length > 2);
    assert.ok((await usage).outputTokens > 3);
  });

  test(`${name}: a tool that is required is called`, async () => {
    const weather = tool({ inputSchema: z.object({ city: z.string() }) });
    const { toolCalls } = await generateText({
      model: provider(torch),
      ...settings,
      prompt: "What is the weather in Oslo?",
      tools: { weather },
      toolChoice: "required",
    });
    assert.equal(toolCalls[0].toolName, "weather");
    assert.match(toolCalls[0].input.city, /Oslo/);
  });

  test(`${name}: a structured answer`, async () => {
    const person = z.object({ name: z.string(), born: z.number().int() });
    const { output } = await generateText({
      model: provider(torch),
      ...settings,
      prompt: "Ada Lovelace was born in 1815. Extract her name and year of birth.",
      output: Output.object({ schema: person }),
    });
    assert.match(output.name, /Ada/);
    assert.equal(output.born, 1815);
  });
}

test("embeddings", async () => {
  for (const model of [compatible.embeddingModel(vectors), openai.embedding(vectors)]) {
    const { embeddings } = await embedMany({ model, values: ["a cat", "a kitten", "stocks fell"] });
    const [cat, kitten, stocks] = embeddings;
    assert.ok(cosineSimilarity(cat, kitten) > 0.6 && cosineSimilarity(cat, stocks) < 0.2);
  }
});

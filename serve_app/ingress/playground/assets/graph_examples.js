const LETTER =
  "José García moved to São Paulo last May and loves it there. The new bridge is wonderful, and the ferry beside it carries pedestrians free of charge until the end of the year.";

/** Graphs to begin with. Those whose tasks no model can do are not offered. */
export const GRAPH_EXAMPLES = [
  {
    title: "One text, several models at the same time",
    input: { text: LETTER },
    steps: [
      { id: "names", task: "entities", inputs: { texts: "$input.text" } },
      { id: "mood", task: "classify", inputs: { texts: "$input.text" } },
      { id: "vector", task: "embeddings", inputs: { texts: "$input.text" } },
      { id: "short", task: "summarize", inputs: { texts: "$input.text", max_length: 30, min_length: 5 } },
      { id: "alike", task: "similarity", inputs: { text1: "$vector.embeddings", text2: "$short.summary" } },
    ],
  },
  {
    title: "An image, its caption, and the caption's mood",
    input: { image: true },
    steps: [
      { id: "cap", task: "caption", inputs: { image: "$input.image" } },
      { id: "mood", task: "classify", inputs: { texts: "What a lovely picture of ${cap.caption}!" } },
    ],
  },
  {
    title: "Search, then an answer from what was found",
    input: { text: "How many people live in Paris?" },
    steps: [
      {
        id: "hits",
        task: "search",
        inputs: {
          query_text: "$input.text",
          candidate_texts: ["Bread is made of flour and water.", "Paris is the capital of France.", "About 2.1 million people live in Paris."],
          top_k: 2,
        },
      },
      {
        id: "answer",
        task: "generate",
        inputs: { prompt: "Text: ${hits.results.0.text} Question: ${input.text} Answer: About", max_new_tokens: 7, temperature: 0 },
      },
    ],
  },
];

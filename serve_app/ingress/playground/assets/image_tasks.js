const PATH = "api/v1/huggingface/vision";

/** What can be asked of an image: the task of a model, its route, and the fields beside the image. */
export const IMAGE_TASKS = [
  {
    name: "detect",
    title: "Find things",
    path: `${PATH}/detect`,
    fields: [{ name: "threshold", label: "Least confidence", type: "number", min: 0, max: 1, step: 0.05, value: 0.5 }],
  },
  {
    name: "image_classify",
    title: "Classify",
    path: `${PATH}/classify`,
    fields: [{ name: "top_k", label: "Labels", type: "number", min: 1, max: 100, step: 1, value: 5 }],
  },
  { name: "caption", title: "Describe in words", path: `${PATH}/caption`, fields: [] },
  {
    name: "visual_question",
    title: "Answer a question",
    path: `${PATH}/question`,
    fields: [{ name: "question", label: "Question", type: "text", value: "What color is the circle?", autocomplete: "off" }],
  },
];
